"""What can be done about a refusal: wait as the server says, or make the conversation shorter."""

from __future__ import annotations

import time
from collections.abc import Callable

from llmserve.endpoint.overflow import excess
from llmserve.errors import LlmserveError

__all__ = ["pause", "too_long", "wait_for"]

_USUAL_WAIT = 5.0
_LONGEST_WAIT = 120.0
_MOST_WAITS = 6


def wait_for(error: LlmserveError, attempt: int) -> float | None:
    """Seconds to wait before the same is asked again; None if waiting does not help, or was tried often enough."""
    if error.code not in ("rate_limited", "loading") or attempt >= _MOST_WAITS:
        return None
    told = error.data.get("retry_after")
    if isinstance(told, (int, float)):
        return float(told) if told <= _LONGEST_WAIT else None
    return float(min(_USUAL_WAIT * 2**attempt, 60.0))


def pause(seconds: float, tick: Callable[[float], None] = lambda _: None) -> None:
    """Sleep, and say each second how long it takes still."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        tick(left)
        time.sleep(min(1.0, left))


def too_long(error: LlmserveError) -> str | None:
    """A sentence about how many tokens too many there are; None if that is not what is wrong."""
    if error.code != "context_overflow":
        return None
    counts = excess(error.message)
    if not counts:
        return "The conversation is longer than the model's context; the server does not say by how much."
    wanted, fits = counts
    return f"{wanted - fits:,} tokens too many: {wanted:,} are wanted, {fits:,} fit."
