"""How far a download is: counted by many threads, told to one listener."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

INTERVAL = 0.2
"""Seconds between two events."""

_SMOOTH = 5.0  # seconds over which the rate is an average
_SHOWN = 32  # files in work that an event tells of


@dataclass(frozen=True, kw_only=True)
class Event:
    """Bytes in all and of each file in work (name, done, size, state); ``rate`` in bytes per second of the network.

    ``done_bytes`` starts with what was here already, and never falls. States: ``fetching``, ``checking``,
    ``retrying``, ``waiting`` (another process fetches this file).
    """

    done_bytes: int
    total_bytes: int
    rate: float
    eta_seconds: float | None
    files: tuple[tuple[str, int, int, str], ...]
    note: str = ""


Listener = Callable[[Event], None]


@dataclass
class _File:
    size: int
    done: int
    state: str


class Meter:
    """The counts of one download."""

    def __init__(self, total: int, on: Listener | None) -> None:
        self.total = total
        self._on = on
        self._lock = threading.Lock()
        self._done = self._shown = 0
        self._received = self._sampled = 0
        self._rate = 0.0
        self._time = time.monotonic()
        self._files: dict[str, _File] = {}
        self._note, self._noted = "", False  # what went wrong, and whether that was told

    def begin(self, name: str, size: int, done: int) -> None:
        """A file is worked on from now on, of which ``done`` bytes are counted already."""
        with self._lock:
            self._files.setdefault(name, _File(size, done, "fetching"))

    def received(self, name: str, count: int) -> None:
        with self._lock:
            self._received += count
            self._count(name, count)
            if self._noted:
                self._note, self._noted = "", False

    def found(self, name: str, count: int) -> None:
        """Bytes that were not received but are here, or (below zero) are no longer."""
        with self._lock:
            self._count(name, count)

    def _count(self, name: str, count: int) -> None:
        self._done += count
        file = self._files.get(name)
        if file is not None:
            file.done += count

    def state(self, name: str, state: str, note: str = "") -> None:
        with self._lock:
            if note:
                self._note, self._noted = note, False
            if name in self._files:
                self._files[name].state = state

    def end(self, name: str) -> None:
        """The file is complete."""
        with self._lock:
            file = self._files.pop(name, None)
            if file is not None:
                self._done += file.size - file.done

    def tell(self, *, now: bool = False) -> None:
        """Tell the listener, unless that was done a moment ago. To be called by one thread alone."""
        elapsed = time.monotonic() - self._time
        if self._on is None or (elapsed < INTERVAL and not now):
            return
        with self._lock:
            event = self._event(elapsed)
        self._on(event)

    def _event(self, elapsed: float) -> Event:
        if elapsed > 0.01:
            self._sample(elapsed)
        self._shown = max(self._shown, min(self._done, self.total))
        self._noted = bool(self._note)
        left = self.total - self._shown
        files = [(name, file.done, file.size, file.state) for name, file in self._files.items()]
        return Event(
            done_bytes=self._shown,
            total_bytes=self.total,
            rate=self._rate,
            eta_seconds=left / self._rate if self._rate > 1 else (None if left else 0.0),
            files=tuple(files[:_SHOWN]),
            note=self._note,
        )

    def _sample(self, elapsed: float) -> None:
        current = (self._received - self._sampled) / elapsed
        weight = 1 - math.exp(-elapsed / _SMOOTH) if self._sampled else 1.0
        self._rate += weight * (current - self._rate)
        self._sampled = self._received
        self._time = time.monotonic()
