"""Bytes out of a socket, bounded in time and size."""

from __future__ import annotations

import socket
import ssl
import time

from llmserve.probe.exchange import Limits

__all__ = ["Closed", "Reader", "TooLate", "TooLong"]

PIECE = 65536


class TooLate(Exception):  # noqa: N818 - named after what happened
    """Time is up; ``kind`` is ``timeout`` (in all) or ``idle`` (silence)."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class TooLong(Exception):  # noqa: N818
    """A line or a body is longer than anybody would send."""


class Closed(Exception):  # noqa: N818
    """The other side closed the connection."""


class Reader:
    """Reads a connection through one buffer. Every method raises what stands above."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self._connection = connection
        self._idle = limits.total_s  # before the first word a server may think as long as it likes
        self._later_idle = limits.idle_s
        self.deadline = time.monotonic() + limits.total_s
        self._buffer = bytearray()

    def begun(self) -> None:
        """The answer has begun: from now on silence is suspicious."""
        self._idle = self._later_idle

    def hurry(self, seconds: float) -> None:
        """Wait no longer than ``seconds`` from now."""
        self.deadline = min(self.deadline, time.monotonic() + seconds)

    def some(self) -> bytes:
        """What is there, or the next that comes; at least one byte."""
        if not self._buffer:
            self._fill()
        piece = bytes(self._buffer)
        self._buffer.clear()
        return piece

    def exactly_some(self, most: int) -> bytes:
        """Like :meth:`some`, but no more than ``most`` bytes."""
        if not self._buffer:
            self._fill()
        piece = bytes(self._buffer[:most])
        del self._buffer[:most]
        return piece

    def line(self, limit: int = PIECE) -> bytes:
        """The next line, without its end."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            if len(self._buffer) > limit:
                raise TooLong
            start = len(self._buffer)
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    @property
    def waiting(self) -> bytes:
        """What was received and not yet read."""
        return bytes(self._buffer)

    def _fill(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooLate("timeout")
        self._connection.settimeout(min(left, self._idle))
        try:
            piece = self._connection.recv(PIECE)
        except TimeoutError:
            raise TooLate("timeout" if left <= self._idle else "idle") from None
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise Closed from None
        if not piece:
            raise Closed
        self._buffer += piece
