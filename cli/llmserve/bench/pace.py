"""When what is due: the schedule of an open loop, and the later turns of sessions."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from llmserve.bench.drive import Drive
from llmserve.bench.records import Request

__all__ = ["Pace"]


class Pace:
    """Of one drive that began at ``began``. All times are nanoseconds of the monotonic clock, on one absolute line."""

    def __init__(self, drive: Drive, began: int) -> None:
        self._requests, self._arrivals, self._began = drive.requests, drive.arrivals, began
        self._later: list[tuple[int, int, Request]] = []  # when, a tie-breaker, what
        self._order = count()
        self._exhausted = False
        self._next = self._arrival()

    @property
    def open_loop(self) -> bool:
        return self._arrivals is not None

    @property
    def done(self) -> bool:
        """Nothing will be due any more, unless an answer has a next turn."""
        return (self._exhausted or (self.open_loop and self._next is None)) and not self._later

    def end(self) -> None:
        """Nothing more is sent."""
        self._exhausted, self._next = True, None
        self._later.clear()

    def due(self, now: int) -> Iterator[tuple[Request, int]]:
        """Everything whose time has come, and when that was."""
        while self._next is not None and self._next <= now:
            due, request = self._next, next(self._requests, None)
            if request is None:
                self._next = None
                return
            self._next = self._arrival()
            yield request, due
        while self._later and self._later[0][0] <= now:
            due, _, request = heapq.heappop(self._later)
            yield request, due

    def another(self) -> Request | None:
        """Closed loop: what a user who is free asks."""
        request = None if self._exhausted else next(self._requests, None)
        self._exhausted = request is None
        return request

    def later(self, due: int, request: Request) -> None:
        heapq.heappush(self._later, (due, next(self._order), request))

    def wait(self, now: int, until: int | None, longest: int) -> int:
        """Nanoseconds until something is due, ``longest`` at the most."""
        wakes = [one for one in (self._next, self._later[0][0] if self._later else None, until) if one is not None]
        return max(0, min(wakes) - now) if wakes else longest

    def _arrival(self) -> int | None:
        offset = next(self._arrivals, None) if self._arrivals is not None else None
        return None if offset is None else self._began + int(offset * 1e9)
