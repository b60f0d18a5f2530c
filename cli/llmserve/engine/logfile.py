"""A server's log on disk: lines with the time at which they came, in files of bounded size.

A line is ``2026-12-01T09:30:00.125Z text``. ``log.txt`` is written to; older lines are in ``log.txt.1``, ``.2``, ….
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

LIMIT = 10 << 20
"""Bytes after which a file is put aside."""
KEPT = 3
"""Files put aside that are kept."""

_STAMP = len("2026-12-01T09:30:00.125Z")


@dataclass(frozen=True)
class Line:
    """``at`` in seconds since the epoch; None where a line has no time of its own."""

    at: float | None
    text: str


class LogFile:
    """Written to by one thread. A full disk loses lines, never the writer; their number is told when there is room."""

    def __init__(self, path: Path, *, limit: int = LIMIT, kept: int = KEPT) -> None:
        self._path, self._limit, self._kept = path, limit, kept
        self._lost = 0
        self._file = self._size = -1
        self._open()

    def write(self, text: bytes) -> None:
        stamped = f"{stamp(time.time())} ".encode() + text + b"\n"
        try:
            if self._size + len(stamped) > self._limit and self._size > 0:
                self._rotate()
            if self._lost:
                self._append(f"{stamp(time.time())} [llmserve] {self._lost} lines could not be written\n".encode())
                self._lost = 0
            self._append(stamped)
        except OSError:
            self._lost += 1

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            self._size = os.fstat(self._file).st_size
        except OSError:
            self._file = self._size = -1

    def _append(self, data: bytes) -> None:
        if self._file < 0:
            self._open()
        written = os.write(self._file, data)
        self._size += written
        if written < len(data):  # the disk filled up within the line: it must not run on into the next one
            os.ftruncate(self._file, self._size - written)
            self._size -= written
            raise OSError

    def _rotate(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            older = _numbered(self._path, number - 1)
            if older.exists():
                older.replace(_numbered(self._path, number))
        self._open()


def stamp(at: float) -> str:
    """``at`` (seconds since the epoch) as a line begins with it."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.{int(at % 1 * 1000):03d}Z"


def parsed(line: str) -> Line:
    """One line of the file, without its end."""
    head, space, rest = line[:_STAMP], line[_STAMP : _STAMP + 1], line[_STAMP + 1 :]
    if space != " " or head[-1:] != "Z":
        return Line(None, line)
    try:
        return Line(datetime.fromisoformat(head).timestamp(), rest)
    except ValueError:
        return Line(None, line)


class Follower:
    """Reads what is added to a log, through rotations; what was there when it was made is left to :func:`lines`."""

    def __init__(self, path: Path) -> None:
        self._path, self._rest = path, b""
        self._file = self._open()
        if self._file:
            self._file.seek(0, os.SEEK_END)
        self.offset = self._file.tell() if self._file else 0

    def close(self) -> None:
        if self._file:
            self._file.close()

    def new(self) -> Iterator[Line]:
        """Whole lines that were added since the last call."""
        yield from self._read()
        if self._put_aside():
            yield from self._read()  # what came between the two looks
            self.close()
            self._file = self._open()
            yield from self._read()

    def _open(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except OSError:
            return None

    def _read(self) -> Iterator[Line]:
        while self._file and (piece := self._file.read(1 << 16)):
            *whole, self._rest = (self._rest + piece).split(b"\n")
            yield from (parsed(line.decode("utf-8", "replace")) for line in whole)

    def _put_aside(self) -> bool:
        try:
            current = self._path.stat().st_ino
        except OSError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != current


def lines(path: Path, *, until: Follower | None = None) -> Iterator[Line]:
    """Every line that is kept, the oldest first; none where there is no log. ``until`` goes on where this ends."""
    for number in range(KEPT, -1, -1):
        try:
            with _numbered(path, number).open("rb") as file:
                text = file.read(until.offset) if until and not number else file.read()
        except OSError:
            continue
        yield from (parsed(line.decode("utf-8", "replace")) for line in text.removesuffix(b"\n").split(b"\n") if text)


def last(found: Iterable[Line], count: int | None) -> list[Line]:
    """The last ``count`` of them (None: all)."""
    return list(deque(found, maxlen=count))


def since(found: Iterable[Line], at: float | None) -> Iterator[Line]:
    """From the first line on that came at ``at`` or later: a clock that was set back hides nothing."""
    begun = at is None
    for line in found:
        begun = begun or (at is not None and line.at is not None and line.at >= at)
        if begun:
            yield line


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path
