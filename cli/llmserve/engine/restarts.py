"""When an engine that ended by itself is begun again, and when that would be in vain."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from llmserve.engine.base import Failure

PAUSES = (1.0, 5.0, 15.0)
"""Seconds before the first, second, … restart within ``WINDOW`` seconds. After the last one it is over."""
WINDOW = 600.0

_IN_VAIN = frozenset({
    "bad_flag", "bad_value", "bad_address", "broken_checkpoint", "broken_config", "engine_missing", "needs_access",
    "missing_weights", "no_model", "unsupported_architecture", "unsupported_cpu", "unsupported_gpu", "internal",
})  # fmt: skip
"""Failures that a second attempt meets again."""


class Restarts:
    """The restarts of one server. Only one that has been ready is begun again: a start that fails would fail again."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[float] = deque()

    def pause(self, failure: Failure, *, been_ready: bool) -> float | None:
        """Seconds to wait before the next start, which is counted; None when there shall be none."""
        now = self._clock()
        while self._recent and now - self._recent[0] > WINDOW:
            self._recent.popleft()
        if not been_ready or failure.code in _IN_VAIN or len(self._recent) >= len(PAUSES):
            return None
        self._recent.append(now)
        return PAUSES[len(self._recent) - 1]

    @property
    def count(self) -> int:
        """Restarts within the window."""
        return len(self._recent)
