"""How long to let chunks gather between two looks at the sockets: a look costs more than most chunks do."""

from __future__ import annotations

from llmserve.bench.tally import Tally

__all__ = ["Pause"]

LONGEST_NS = 1_000_000
PER_GAP = 10  # the pause is a small part of the time between two chunks of a stream: it costs no stamp
LONG_ANSWER = 16  # reads of an answer, from which on a pause does not delay the next question for long


class Pause:
    """``ns`` is adapted to what came since the last look back. Without the kernel's stamps there is none."""

    def __init__(self) -> None:
        self.ns = 0
        self.answers = 0  # that ended since
        self._reads = self._at = 0

    def renewed(self) -> None:
        """The tally was changed for another."""
        self._reads = self.ns = 0

    def adapt(self, now: int, tally: Tally, active: int, *, regular_ns: int) -> None:
        """``active`` streams run; ``regular_ns`` is how long it usually is between two calls."""
        reads, elapsed = tally.reads - self._reads, now - self._at
        useful = (
            tally.unstamped * 100 <= tally.reads and reads > LONG_ANSWER * self.answers and elapsed < 4 * regular_ns
        )
        self.ns = min(elapsed * active // reads // PER_GAP, LONGEST_NS) if useful and reads > 0 else 0
        self._reads, self._at, self.answers = tally.reads, now, 0
