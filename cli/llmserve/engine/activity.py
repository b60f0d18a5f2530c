"""A start that takes long: slow or stuck? Told by what the engine prints, reads and computes."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmserve.engine.base import Failure
from llmserve.engine.process import state
from llmserve.output.text import duration, gib

if TYPE_CHECKING:
    import psutil

QUIET = 20.0
"""Seconds without a line of output after which the user is told what goes on."""
STUCK = 300.0
"""Seconds in which nothing at all moves, after which waiting is in vain."""
_SPAN = 30.0
"""Seconds over which rates are taken."""
_READS, _COMPUTES = 1e6, 0.05
"""Bytes per second, and a share of one core: below these an engine reads nothing and computes nothing."""
_MOST = 3
"""Times the limit, for an engine that only computes: one that spins in vain does so too."""


@dataclass(frozen=True)
class _Sample:
    at: float
    cpu: float
    read: float


class Activity:
    """``limit``: seconds until readiness. With ``patient`` they are no limit while bytes or lines move."""

    def __init__(self, *, limit: float, patient: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._patient, self._clock = limit, patient, clock
        self._began = self._spoke = self._moved = clock()
        self._lines = 0
        self._waits_for = ""
        self._samples: deque[_Sample] = deque()

    def sample(self, family: Sequence[psutil.Process], lines: int) -> None:
        """Take note of what ``family`` has done so far; it has printed ``lines`` lines."""
        states = {state(member.pid) for member in family}
        waits = "a processor" if "R" in states else "a disk" if "D" in states else ""
        self.note(sum(map(_cpu, family)), sum(map(_read, family)), lines, waits_for=waits)

    def note(self, cpu_seconds: float, read_bytes: float, lines: int, *, waits_for: str = "") -> None:
        """``waits_for``: what the kernel has not given it yet, on a machine that others use."""
        now = self._clock()
        self._waits_for = waits_for
        if lines != self._lines:
            self._lines, self._spoke = lines, now
        self._samples.append(_Sample(now, cpu_seconds, read_bytes))
        while len(self._samples) > 2 and now - self._samples[1].at > _SPAN:
            self._samples.popleft()
        if self._spoke == now or waits_for or self._reading > _READS or self._computing > _COMPUTES:
            self._moved = now

    @property
    def left(self) -> float:
        """Seconds until there may be a verdict: the time to a limit that is kept to."""
        return STUCK if self._patient else max(0.0, self._limit - (self._clock() - self._began))

    def words(self) -> str:
        """What a person would want to know; empty while lines come."""
        now = self._clock()
        silent, still = now - self._spoke, now - self._moved
        if silent < QUIET:
            return ""
        if self._reading > _READS:
            return f"slow, not stuck: reading {gib(self._reading)}/s"
        if self._computing > _COMPUTES:
            return f"slow, not stuck: computing ({self._computing:.0%} of a core)"
        if self._waits_for:
            return f"slow, not stuck: waiting for {self._waits_for}, which others use"
        return "stuck? No output, no reads, no computing" if still > QUIET else ""

    def verdict(self, name: str, stage: str) -> Failure | None:
        """The failure, once waiting longer is in vain."""
        now = self._clock()
        waited, still = now - self._began, now - self._moved
        if self._patient and still > STUCK:
            return Failure(
                code="stuck",
                message=f"The server is stuck in the stage {stage}: nothing printed, read or computed for "
                f"{duration(still)}.",
                hint=f"See `llmserve logs {name}`; over several GPUs, try NCCL_P2P_DISABLE=1.",
                exit_code=5,
            )
        if waited < self._limit or (self._patient and self._worth(now, waited)):
            return None
        doing = f"; {words}" if (words := self.words()) else ""
        return Failure(
            code="not_ready",
            message=f"The server was not ready within {waited if self._patient else self._limit:g} s"
            f" (last stage: {stage}{doing}).",
            hint=f"Give it longer with --wait-timeout, or see `llmserve logs {name}`.",
            exit_code=5,
        )

    def _worth(self, now: float, waited: float) -> bool:
        if now - self._spoke < STUCK or self._reading > _READS:
            return True
        return bool(self._computing > _COMPUTES or self._waits_for) and waited < _MOST * self._limit

    @property
    def _reading(self) -> float:
        return self._rate(lambda sample: sample.read)

    @property
    def _computing(self) -> float:
        return self._rate(lambda sample: sample.cpu)

    def _rate(self, of: Callable[[_Sample], float]) -> float:
        """Per second over the samples; a process that ended takes its count along, which is no rate below zero."""
        if len(self._samples) < 2:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        return max(0.0, of(last) - of(first)) / max(1e-3, last.at - first.at)


def _cpu(process: psutil.Process) -> float:
    import psutil

    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _read(process: psutil.Process) -> float:
    """Bytes read by calls or from disks, whichever is more: mapped files are read without a call, cached ones without
    a disk.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        pairs = (line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text(encoding="ascii").splitlines())
        counts = {name: float(value) for name, value in pairs}
        return max(counts.get("rchar", 0.0), counts.get("read_bytes", 0.0))
    return 0.0
