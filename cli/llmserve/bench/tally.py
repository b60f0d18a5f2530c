"""What a loop notes about itself while it runs; memory does not grow with what it notes."""

from __future__ import annotations

import resource
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Durations", "Tally", "working"]

FOLD = 1 << 15
STEP_BITS = 12


class Durations:
    """Nanoseconds, counted in steps of 4 µs once there are many. ``append`` is an array's own, for the hot path.

    The sum and the largest are exact.
    """

    __slots__ = ("append", "counts", "largest", "newest", "number", "total")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.newest = array("q", values)
        self.append = self.newest.append
        self.counts: Counter[int] = Counter()
        self.number = self.total = self.largest = 0

    def fold(self, above: int = FOLD) -> None:
        """Count what is newest, if it is more than ``above``."""
        if len(self.newest) <= above:
            return
        self.counts.update([value >> STEP_BITS if value > 0 else 0 for value in self.newest])
        self.number += len(self.newest)
        self.total += sum(self.newest)
        self.largest = max(self.largest, max(self.newest))
        del self.newest[:]

    def merge(self, other: Durations) -> None:
        other.fold(0)
        self.fold(0)
        self.counts.update(other.counts)
        self.number += other.number
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    def share_above(self, ms: float) -> float:
        """How many of all are longer than ``ms``."""
        weights = self.weights()
        number = sum(count for _, count in weights)
        return sum(count for value, count in weights if value > ms) / number if number else 0.0

    def __getstate__(self) -> tuple[Counter[int], int, int, int]:
        self.fold(0)
        return self.counts, self.number, self.total, self.largest

    def __setstate__(self, state: tuple[Counter[int], int, int, int]) -> None:
        self.newest = array("q")
        self.append = self.newest.append
        self.counts, self.number, self.total, self.largest = state

    def weights(self) -> list[tuple[float, int]]:
        """Milliseconds (the middle of a step) and how often, in their order."""
        self.fold(0)
        return [((step + 0.5) * (1 << STEP_BITS) / 1e6, number) for step, number in sorted(self.counts.items())]


@dataclass(kw_only=True)
class Tally:
    """Over all stages of a loop. ``lags`` are user space minus kernel at each read, ``lateness`` the write minus the
    plan. ``coalesced`` are reads that held several events with tokens, ``stalled_s`` the time in which nothing was done
    although answers were on their way.
    """

    lags: Durations = field(default_factory=Durations)
    lateness: Durations = field(default_factory=Durations)
    reads: int = 0
    unstamped: int = 0
    coalesced: int = 0
    resent: int = 0
    clock_steps: list[int] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    waited_s: float = 0.0
    stalled_s: float = 0.0
    wall_s: float = 0.0
    gave_up: str = ""
    stopped: bool = False
    most_connections: int = 0
    rss_mib: float = 0.0

    def merge(self, other: Tally) -> None:
        """Add what was noted of another stage by the same process."""
        self.lags.merge(other.lags)
        self.lateness.merge(other.lateness)
        for name in ("reads", "unstamped", "coalesced", "resent", "cpu_s", "waited_s", "stalled_s", "wall_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.clock_steps += other.clock_steps
        self.most_connections = max(self.most_connections, other.most_connections)
        self.rss_mib = max(self.rss_mib, other.rss_mib)

    def fold(self) -> None:
        self.lags.fold()
        self.lateness.fold()


@contextmanager
def working(tally: Tally) -> Iterator[None]:
    """What the block takes is added to ``tally``: time, processor time, and the time it had to wait for a core."""
    cpu, waited, began = time.process_time(), _waited(), time.monotonic_ns()
    try:
        yield
    finally:
        tally.cpu_s += time.process_time() - cpu
        tally.waited_s += _waited() - waited
        tally.wall_s += (time.monotonic_ns() - began) / 1e9
        tally.rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _waited() -> float:
    """Seconds that this thread was ready to run but had no core, since its start; 0 where the kernel does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
