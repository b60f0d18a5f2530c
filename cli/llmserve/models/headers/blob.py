"""A file that is read in pieces, wherever it lies: on this disk, or on a hub behind HTTP range requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmserve.errors import BrokenCheckpointError, LlmserveError

MIB = 1024**2
FIRST_PIECE, _LARGEST_PIECE = 64 * 1024, 4 * MIB
"""Bytes: what is read of a file whose header may be of any length."""


class Blob(Protocol):
    """``name`` is how messages call the file; ``size`` is in bytes."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset`` on, at most ``length``: fewer where the file ends."""


@dataclass(frozen=True)
class LocalBlob:
    path: Path
    size: int

    @classmethod
    def of(cls, path: Path) -> LocalBlob:
        return cls(path, path.stat().st_size)

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self, offset: int, length: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


class Ended(Exception):  # noqa: N818 - a signal between readers, never shown
    """The file ends before what was asked for; ``missing`` bytes at least."""

    def __init__(self, missing: int) -> None:
        super().__init__(missing)
        self.missing = missing


class Cursor:
    """Reads a blob forwards in pieces that grow, so that a short header costs one small request."""

    def __init__(self, blob: Blob, position: int = 0) -> None:
        self.blob = blob
        self.position = position
        self.buffer = b""
        self.start = position  # of the buffer in the file
        self._piece = FIRST_PIECE

    @property
    def left(self) -> int:
        return self.blob.size - self.position

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes. Raises Ended where the file is shorter."""
        offset = self.need(length)
        self.position += length
        return self.buffer[offset : offset + length]

    def skip(self, length: int) -> None:
        if length > self.left:
            raise Ended(length - self.left)
        self.position += length

    def need(self, length: int) -> int:
        """Have the next ``length`` bytes in ``buffer``; returns where in it they begin."""
        if length > self.left:
            raise Ended(length - self.left)
        offset = self.position - self.start
        if offset + length > len(self.buffer):
            kept = self.buffer[offset:]
            more = max(length - len(kept), self._piece)
            self.buffer = kept + self.blob.read(self.position + len(kept), more)
            self.start, offset = self.position, 0
            self._piece = min(4 * self._piece, _LARGEST_PIECE)
            if len(self.buffer) < length:
                raise Ended(length - len(self.buffer))
        return offset


def broken(file: str, what: str, **data: Any) -> LlmserveError:
    """The error for a damaged or incomplete checkpoint: ``what`` continues the sentence after the file's name."""
    return BrokenCheckpointError(f"{file} {what}.", hint="Delete it and fetch it again.", data={"file": file} | data)


def cut_short(blob: Blob, missing: int) -> LlmserveError:
    """The error for a file that ends early, mostly an interrupted download or copy."""
    return broken(blob.name, f"is incomplete: at least {missing:,} bytes are missing at its end", missing_bytes=missing)
