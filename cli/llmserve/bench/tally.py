"""What a loop notes about itself while it runs; memory does not grow with what it notes."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Durations", "Tally"]

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

    def weights(self) -> list[tuple[float, int]]:
        """Milliseconds (the middle of a step) and how often, in their order."""
        self.fold(0)
        return [((step + 0.5) * (1 << STEP_BITS) / 1e6, number) for step, number in sorted(self.counts.items())]


@dataclass(kw_only=True)
class Tally:
    """Over all stages of a loop. ``lags`` are user space minus kernel at each read, ``lateness`` the write minus the
    plan. ``coalesced`` are reads that held several events with tokens.
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
    wall_s: float = 0.0
    gave_up: str = ""
    stopped: bool = False
    most_connections: int = 0

    def fold(self) -> None:
        self.lags.fold()
        self.lateness.fold()
