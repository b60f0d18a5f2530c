"""A file that is not complete yet: what of it is here, noted so that nothing but damage is ever fetched twice.

The journal has one record for each chunk of the file: how many bytes of it are here, counted from its start, their
CRC-32, the same two as they will be after a write, and a CRC-32 of the record itself. A record is written before its
bytes are, so that a process that is killed between the two loses neither; which of them is true is read from the bytes.
A record that is torn, foreign or lost makes its chunk count as missing, and so does a chunk whose bytes do not fit it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib

from llmserve.models.hub import patience
from llmserve.models.hub.places import Place

_RECORD = struct.Struct("<QIQII")  # bytes that are here, their CRC, both after the write at hand, the record's CRC
_SEAL = struct.Struct("<QQQQIQI")  # what that is made from: size, chunk, index, and what precedes it

_MODE = 0o666  # less the umask: as readable as the user's other files
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Partial:
    """The chunks of one file. A chunk is written by one thread at a time, from its start to its end."""

    def __init__(self, place: Place, size: int, chunk: int) -> None:
        """Open what is there, or begin.

        Raises:
            OSError: the disk.
        """
        self.place, self.size, self.chunk = place, size, chunk
        self.count = -(-size // chunk)
        self._data = os.open(place.pieces, _FLAGS, _MODE)
        try:
            self._journal = os.open(place.journal, _FLAGS, _MODE)
        except BaseException:
            os.close(self._data)
            raise
        self.done, self.crc = _read(self._data, self._journal, size, chunk)
        if os.fstat(self._journal).st_size != self.count * _RECORD.size:
            os.ftruncate(self._journal, self.count * _RECORD.size)

    @property
    def fetched(self) -> int:
        return sum(self.done)

    def length(self, index: int) -> int:
        return min(self.chunk, self.size - index * self.chunk)

    def is_whole(self, index: int) -> bool:
        return self.done[index] == self.length(index)

    def write(self, index: int, content: memoryview) -> None:
        """The next bytes of a chunk.

        Raises:
            OSError: the disk; what could be written is noted.
        """
        begin, end = self.done[index], self.done[index] + len(content)
        before, after = self.crc[index], zlib.crc32(content, self.crc[index])
        self._note(index, after=(end, after))
        try:
            while self.done[index] < end:
                rest = content[self.done[index] - begin :]
                self.done[index] += os.pwrite(self._data, rest, index * self.chunk + self.done[index])
        except BaseException:
            self.crc[index] = zlib.crc32(content[: self.done[index] - begin], before)
            self._note(index)
            raise
        self.crc[index] = after
        if self.is_whole(index):
            self._note(index)

    def read(self, buffer: memoryview, offset: int) -> int:
        return os.preadv(self._data, [buffer], offset)

    def forget(self, index: int) -> None:
        """The bytes of a chunk are not what was received."""
        self.done[index] = self.crc[index] = 0
        self._note(index)

    def forget_all(self) -> None:
        os.ftruncate(self._data, 0)
        for index in range(self.count):
            self.forget(index)

    def _note(self, index: int, after: tuple[int, int] | None = None) -> None:
        here = self.done[index], self.crc[index]
        record = _record(self.size, self.chunk, index, *here, *(after or here))
        os.pwrite(self._journal, record, index * _RECORD.size)

    def close(self) -> None:
        for descriptor in (self._data, self._journal):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def remove(self) -> None:
        """Remove what is left when the file has taken its place."""
        self.place.journal.unlink(missing_ok=True)
        self.place.pieces.unlink(missing_ok=True)


def fetched(place: Place, size: int, chunk: int | None = None) -> int:
    """Bytes of a file of ``size`` that are here from an earlier fetch. Reads the journal, and chunks left in work."""
    chunk = chunk or patience.Patience.from_environment().chunk
    try:
        data = os.open(place.pieces, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        journal = os.open(place.journal, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(data)
        return 0
    try:
        return sum(_read(data, journal, size, chunk)[0])
    finally:
        os.close(data)
        os.close(journal)


def _read(data: int, journal: int, size: int, chunk: int) -> tuple[list[int], list[int]]:
    """Bytes of each chunk that are here, and their CRC."""
    count, there = -(-size // chunk), os.fstat(data).st_size
    records = _whole_read(journal, count * _RECORD.size)
    done, crc = [0] * count, [0] * count
    for index in range(len(records) // _RECORD.size):
        record = records[index * _RECORD.size :][: _RECORD.size]
        *noted, _ = _RECORD.unpack(record)
        if record == _record(size, chunk, index, *noted):
            begin = index * chunk
            room = min(chunk, size - begin, there - begin)
            done[index], crc[index] = _state(data, begin, room, noted)
    return done, crc


def _state(data: int, begin: int, room: int, noted: list[int]) -> tuple[int, int]:
    """The one of the two noted states of a chunk that is true, and may only be looked up where a write was at hand."""
    before, after = (noted[0], noted[1]), (noted[2], noted[3])
    fitting = [state for state in (after, before) if state[0] <= room]
    settled = before == after
    return next((state for state in fitting if settled or _is_there(data, begin, *state)), (0, 0))


def _is_there(data: int, begin: int, count: int, check: int) -> bool:
    """Whether ``count`` bytes from ``begin`` have this CRC."""
    return zlib.crc32(os.pread(data, count, begin)) == check


def _whole_read(descriptor: int, length: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(length)


def _record(size: int, chunk: int, index: int, has: int, check: int, will_have: int, will_check: int) -> bytes:
    states = has, check, will_have, will_check
    return _RECORD.pack(*states, zlib.crc32(_SEAL.pack(size, chunk, index, *states)))
