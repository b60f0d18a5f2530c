"""A file that is not complete yet: what of it is here, noted so that nothing but damage is ever fetched twice.

The journal has one record for each chunk of the file: how many bytes of it are here, counted from its start, their
CRC-32, and a CRC-32 of the record itself. A record is overwritten after its bytes were written; one that is torn,
foreign or lost makes its chunk count as missing, and so does a chunk whose bytes turn out not to fit their record.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib

from llmserve.models.hub import patience
from llmserve.models.hub.places import Place

_RECORD = struct.Struct("<QII")  # bytes that are here, their CRC, the CRC of the record
_SEAL = struct.Struct("<QQQQI")  # what that is made from: size, chunk, index, bytes, CRC

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
        """The next bytes of a chunk."""
        offset = index * self.chunk + self.done[index]
        while content:
            written = os.pwrite(self._data, content, offset)
            self.crc[index] = zlib.crc32(content[:written], self.crc[index])
            self.done[index] += written
            offset, content = offset + written, content[written:]
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

    def _note(self, index: int) -> None:
        record = _record(self.size, self.chunk, index, self.done[index], self.crc[index])
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
    """Bytes of a file of ``size`` that are here from an earlier fetch. Reads the journal alone."""
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
        has, check, _ = _RECORD.unpack_from(records, index * _RECORD.size)
        sound = records[index * _RECORD.size :][: _RECORD.size] == _record(size, chunk, index, has, check)
        if sound and has <= min(chunk, size - index * chunk) and index * chunk + has <= there:
            done[index], crc[index] = has, check
    return done, crc


def _whole_read(descriptor: int, length: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(length)


def _record(size: int, chunk: int, index: int, has: int, check: int) -> bytes:
    return _RECORD.pack(has, check, zlib.crc32(_SEAL.pack(size, chunk, index, has, check)))
