"""One stage of load as the loop takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmserve.bench.records import Request

__all__ = ["Drive"]


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What to send, when, and the bounds.

    ``arrivals`` are seconds from the stage's start (open loop); None sends as soon as one of ``users`` is free (closed
    loop). ``connections`` is the most that are ever open. ``until_s`` ends the sending, ``drain_s`` the waiting after
    it. ``give_up_after`` failures in a row end the stage. ``prepare`` builds a request ahead when there is time, and
    says whether it did. ``begin_ns`` is when it begins on the monotonic clock, for several processes at once; None is
    now.
    """

    requests: Iterator[Request]
    connections: int
    stage: int = 0
    begin_ns: int | None = None
    arrivals: Iterator[float] | None = None
    users: int = 1
    until_s: float | None = None
    drain_s: float = 60.0
    timeout_s: float = 600.0
    connect_timeout_s: float = 10.0
    give_up_after: int = 128
    prepare: Callable[[], bool] | None = None
