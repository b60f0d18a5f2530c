"""Server-sent events out of bytes, as the WHATWG specification has them ("Interpreting an event stream").

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MAX_EVENT", "Event", "Parser", "TooLongError"]

MAX_EVENT = 16 * 1024**2

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


class TooLongError(ValueError):
    """A line, or the data of one event, is longer than the parser's limit."""


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event. ``id`` is the last event ID of the stream so far, as the specification wants it."""

    data: str
    event: str = "message"
    id: str = ""


class Parser:
    """Feed it bytes as they arrive, cut anywhere; it gives events.

    ``limit`` bounds a line and the data of an event, in bytes, so that a server cannot fill this process's memory.
    ``retry`` is the reconnection time the server asked for, in milliseconds.
    """

    def __init__(self, *, limit: int = MAX_EVENT) -> None:
        self.retry: int | None = None
        self._limit = limit
        self._rest = bytearray()
        self._after_cr = False
        self._first_line = True
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that ``chunk`` completes. Exhaust the iterator before the next call.

        Raises:
            TooLongError: after the events that came before the long one.
        """
        for line in self._lines(chunk):
            event = self._take(line)
            if event:
                yield event

    def end(self) -> Event | None:
        """The event that the stream left without its blank line. The specification drops it; some servers send one."""
        rest, self._rest = bytes(self._rest), bytearray()
        event = self._take(rest) if rest else None
        return event or self._dispatch()

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        if not chunk:
            return
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        *whole, rest = _LINE_END.split(chunk)
        for line in whole:
            self._keep(line)
            yield bytes(self._rest)
            self._rest.clear()
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) > self._limit:
            raise TooLongError(f"a line of the event stream is longer than {self._limit} bytes")

    def _take(self, line: bytes) -> Event | None:
        if self._first_line:
            line, self._first_line = line.removeprefix(_BOM), False
        if not line:
            return self._dispatch()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        self._field(name, value.removeprefix(" "), len(line))
        return None

    def _field(self, name: str, value: str, size: int) -> None:
        if name == "data":
            self._data.append(value)
            self._size += size
            if self._size > self._limit:
                raise TooLongError(f"the data of an event is longer than {self._limit} bytes")
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value[:9])

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._event
        self._data, self._size, self._event = [], 0, ""
        return Event("\n".join(data), kind or "message", self._id) if data else None
