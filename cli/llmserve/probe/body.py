"""The body of an answer as it arrives: framed by HTTP, unpacked, timed, bounded."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from llmserve.probe.exchange import Limits
from llmserve.probe.reader import Closed, Reader, TooLong

__all__ = ["Body", "UnpackError", "framed"]

AFTER_DONE_S = 2.0
"""How long a stream may stay open after ``[DONE]``; clients have left by then."""
PIECE = 65536

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_DONE = b"data: [DONE]"


class UnpackError(Exception):
    """The body is not what ``Content-Encoding`` says."""


@dataclass
class Body:
    """What has come so far. ``arrivals``: (seconds since ``began``, bytes of ``content`` known by then)."""

    began: float
    limits: Limits
    coding: str = ""
    content: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = {"gzip": 31, "x-gzip": 31, "deflate": 15}
        self._unpacker = zlib.decompressobj(known[self.coding]) if self.coding in known else None

    def take(self, piece: bytes) -> None:
        """Add what the framing let through."""
        room = self.limits.max_bytes - len(self.content)
        plain = self._unpacked(piece, room + 1) if self._unpacker else piece
        self.content += plain[:room]
        if plain:
            self.arrivals.append((time.monotonic() - self.began, len(self.content)))
        if len(plain) > room:
            raise TooLong

    @property
    def enough(self) -> bool:
        return 0 < self.limits.first_pieces <= len(self.arrivals)

    @property
    def done(self) -> bool:
        """Whether a stream said that it is over."""
        return _DONE in self.content[-64:]

    def _unpacked(self, piece: bytes, most: int) -> bytes:
        assert self._unpacker is not None
        try:
            return self._unpacker.decompress(piece, most)
        except zlib.error as error:
            raise UnpackError(str(error)) from None


def framed(reader: Reader, body: Body, *, length: int | None, chunked: bool) -> bool:
    """Read the whole body into ``body``; whether the connection can serve another request.

    Raises:
        what :mod:`llmserve.probe.reader` raises, and UnpackError.
    """
    pieces = _chunks(reader, body) if chunked else _until_closed(reader) if length is None else _counted(reader, length)
    for piece in pieces:
        body.take(piece)
        if body.enough:
            return False
        if body.done:
            reader.hurry(AFTER_DONE_S)
    return chunked or length is not None


def _counted(reader: Reader, length: int) -> Iterator[bytes]:
    while length:
        piece = reader.exactly_some(min(length, PIECE))
        length -= len(piece)
        yield piece


def _until_closed(reader: Reader) -> Iterator[bytes]:
    while True:
        try:
            yield reader.some()
        except Closed:
            return


def _chunks(reader: Reader, body: Body) -> Iterator[bytes]:
    while True:
        line = reader.line()
        if not line.endswith(b"\r"):
            body.faults.append("a chunk size line ends in a bare line feed")
        size = line.strip().partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            raise UnpackError(f"{line[:40]!r} is no chunk size")
        left = int(size, 16)
        if not left:
            break
        yield from _counted(reader, left)
        if reader.line(limit=8).strip():
            raise UnpackError("a chunk is longer than its size line says")
    while reader.line().strip():
        pass  # trailers
