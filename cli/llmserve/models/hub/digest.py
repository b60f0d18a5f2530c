"""The hash of a file while it arrives: from memory where bytes come in order, else read again once they can be."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from llmserve.models.hub.partial import Partial
from llmserve.models.hub.plan import Wanted


class Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def copy(self) -> Hash: ...
    def hexdigest(self) -> str: ...


def begin(file: Wanted) -> Hash | None:
    """What has to be made of a file's bytes to compare it with ``expected``; None if the hub names no hash."""
    if file.sha256:
        return hashlib.sha256()
    if not file.git_sha1:
        return None
    return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)


def expected(file: Wanted) -> str | None:
    return file.sha256 or file.git_sha1


def of_file(file: Wanted, path: Path, look: Callable[[], None]) -> str | None:
    """The hash of what is at ``path``; ``look`` is called now and then."""
    made, buffer = begin(file), memoryview(bytearray(1024**2))
    if made is None:
        return None
    with path.open("rb", buffering=0) as content:
        while count := content.readinto(buffer):
            made.update(buffer[:count])
            look()
    return made.hexdigest()


class Digest:
    """Follows the chunks of a file in order, and finds those that are not on the disk as they were received."""

    def __init__(self, file: Wanted, partial: Partial) -> None:
        self._file, self._partial = file, partial
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.position = 0
        self._hash = begin(self._file)
        self._start = self._hash.copy() if self._hash else None  # of the chunk at hand
        self._crc: int | None = 0  # of its bytes so far; None: they are damaged

    def arrived(self, offset: int, content: memoryview, before: int, after: int) -> None:
        """``content`` was written at ``offset``, which took its chunk's CRC from ``before`` to ``after``."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self.position == offset:
                self._crc = after if self._crc == before else None
                self._take(content)
        finally:
            self._lock.release()

    def catch_up(self, buffer: memoryview, *, wait: bool = False) -> int | None:
        """Go on through bytes that are here, unless another thread does. Returns a chunk that proved damaged."""
        if not self._lock.acquire(blocking=wait):
            return None
        try:
            while self.position < self._partial.size:
                index = self.position // self._partial.chunk
                if self._crc is None:
                    return self._back(index)
                available = index * self._partial.chunk + self._partial.done[index] - self.position
                if available <= 0:
                    return None
                count = self._partial.read(buffer[:available], self.position)
                if not count:  # the file was cut short
                    return self._back(index)
                self._crc = zlib.crc32(buffer[:count], self._crc)
                self._take(buffer[:count])
            return None
        finally:
            self._lock.release()

    @property
    def complete(self) -> bool:
        return self.position == self._partial.size

    def result(self) -> str | None:
        return self._hash.hexdigest() if self._hash else None

    def _take(self, content: memoryview) -> None:
        if self._hash:
            self._hash.update(content)
        self.position += len(content)
        index = (self.position - 1) // self._partial.chunk
        if self.position == index * self._partial.chunk + self._partial.length(index):
            self._end(index)

    def _end(self, index: int) -> None:
        """A chunk ends: what of it was hashed is what was received, or has to be forgotten."""
        if self._crc != self._partial.crc[index]:
            self._crc = None
            self.position = index * self._partial.chunk  # until ``_back``
            return
        self._crc = 0
        self._start = self._hash.copy() if self._hash else None

    def _back(self, index: int) -> int:
        """To the start of a damaged chunk."""
        self.position = index * self._partial.chunk
        self._hash = self._start.copy() if self._start else None
        self._crc = 0
        return index
