"""Rows in a file: the memory of a run does not grow with it.

A row is a record of fixed size; the gaps between its chunks follow in a file of their own, 4 bytes for each. Both files
have no name and end with the process; what is newest waits in memory. ``TMPDIR`` says where they lie.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator
from typing import IO, Any

from llmserve.bench.records import CAUSES, Row

__all__ = ["Part", "Table"]

_CAUSES = ["", *CAUSES]
_CAUSE_AT = {cause: at for at, cause in enumerate(_CAUSES)}
_KINDS = (None, "content", "reasoning", "tool")
_NAN = math.nan
_BLOCK = 1 << 18  # bytes in memory before they are written

# times, counts, stage, session, turn, tokens per chunk, gaps, chunks that differ, status, cause, flags
_RECORD = struct.Struct("=7d6iiqifiiHBB")
_EVEN = -1.0  # in place of the tokens per chunk where they differ: then they stand behind the gaps


class _Tail:
    """A file that only grows, its end in memory; a short one is none at all."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._written = 0
        self._newest = bytearray()

    def __len__(self) -> int:
        return self._written + len(self._newest)

    def append(self, data: bytes) -> None:
        self._newest += data
        if len(self._newest) > _BLOCK:
            if self._file is None:
                self._file = _nameless()
            self._file.seek(self._written)
            self._written += self._file.write(self._newest)
            self._newest.clear()

    def read(self, start: int, size: int) -> bytes:
        kept = b""
        if self._file and start < self._written:
            self._file.seek(start)
            kept = self._file.read(min(size, self._written - start))
        begin = max(start - self._written, 0)
        return kept + bytes(self._newest[begin : begin + size - len(kept)])

    def blocks(self) -> Iterator[bytes]:
        for start in range(0, len(self), _BLOCK):
            yield self.read(start, min(_BLOCK, len(self) - start))

    def close(self) -> None:
        if self._file:
            self._file.close()

    __del__ = close


def _nameless() -> IO[bytes]:
    import tempfile

    return tempfile.TemporaryFile(buffering=0)


class Table:
    """Append rows, and read them in their order, as often as is wanted."""

    def __init__(self) -> None:
        self._records, self._gaps = _Tail(), _Tail()

    def __len__(self) -> int:
        return len(self._records) // _RECORD.size

    def __iter__(self) -> Iterator[Row]:
        return self.since(0)

    def close(self) -> None:
        self._records.close()
        self._gaps.close()

    def add(self, row: Row) -> None:
        """Keep ``row``; its index is its place here."""
        chunks = row.chunk_tokens
        even = not chunks or chunks.count(chunks[0]) == len(chunks)
        counts = (row.asked_input, row.asked_output, row.input_tokens, row.output_tokens, row.cached_tokens,
                  row.reasoning_tokens)  # fmt: skip
        times = (row.intended_s, row.sent_s, row.first_s, row.answer_s, row.last_s, row.end_s, row.connect_ms)
        self._gaps.append(_floats(row.gaps_ms) + (b"" if even else _floats(chunks)))
        self._records.append(
            _RECORD.pack(
                *[_NAN if time is None else time for time in times], *[-1 if n is None else n for n in counts],
                row.stage, row.session, row.turn, (chunks[0] if chunks else 0.0) if even else _EVEN, len(row.gaps_ms),
                len(chunks), row.status or 0, _CAUSE_AT[row.cause],
                row.measured | row.counted << 1 | _KINDS.index(row.first_kind) << 2,
            )
        )  # fmt: skip

    def extend(self, other: Table) -> None:
        """Append the rows of another table; both count from the same start."""
        for mine, theirs in ((self._records, other._records), (self._gaps, other._gaps)):
            for block in theirs.blocks():
                mine.append(block)

    def give(self, file: IO[bytes]) -> None:
        """Write all rows, for :meth:`take` of a table in another process."""
        for tail in (self._records, self._gaps):
            file.write(len(tail).to_bytes(8, "little"))
            for block in tail.blocks():
                file.write(block)

    def take(self, file: IO[bytes]) -> None:
        """Append the rows that another table gave.

        Raises:
            EOFError: it did not give all.
        """
        for tail in (self._records, self._gaps):
            left = int.from_bytes(file.read(8), "little")
            while left:
                block = file.read(min(_BLOCK, left))
                if not block:
                    raise EOFError
                tail.append(block)
                left -= len(block)

    def part(self, start: int) -> Part:
        """The rows from number ``start`` on, to be read as often as is wanted."""
        return Part(self, start)

    def glance(self, index: int) -> Iterator[tuple[float, float, int, int]]:
        """Of the rows from number ``index`` on: when sent, the first token (NaN: none), output tokens, 0 or a cause."""
        return ((one[1], one[2], one[10], one[20]) for one in self._unpacked(index, len(self)))

    def since(self, index: int) -> Iterator[Row]:
        """The rows from number ``index`` on that are there now. The gaps before it are skipped, not read."""
        ends = len(self)
        at = sum(_floats_of(fields) for fields in self._unpacked(0, index)) * 4 if index else 0
        gaps, begin = b"", at
        for number, fields in enumerate(self._unpacked(index, ends), index):
            need = _floats_of(fields) * 4
            if at + need > begin + len(gaps):
                gaps, begin = self._gaps.read(at, max(_BLOCK, need)), at
            yield _row(number, fields, array("f", gaps[at - begin : at - begin + need]))
            at += need

    def _unpacked(self, start: int, end: int) -> Iterator[tuple[Any, ...]]:
        step = _BLOCK // _RECORD.size
        for at in range(start, end, step):
            count = min(step, end - at)
            yield from _RECORD.iter_unpack(self._records.read(at * _RECORD.size, count * _RECORD.size))


class Part:
    """The rows of a table from a number on."""

    def __init__(self, table: Table, start: int) -> None:
        self._table, self._start = table, start

    def __iter__(self) -> Iterator[Row]:
        return self._table.since(self._start)


def _floats(values: Any) -> bytes:
    return (values if isinstance(values, array) and values.typecode == "f" else array("f", values)).tobytes()


def _floats_of(fields: tuple[Any, ...]) -> int:
    return int(fields[17] + (fields[18] if fields[16] == _EVEN else 0))


def _row(index: int, fields: tuple[Any, ...], floats: array[float]) -> Row:
    times = [None if value != value else value for value in fields[:7]]
    counts = [None if value < 0 else value for value in fields[7:13]]
    stage, session, turn, each, gaps, chunks, status, cause, flags = fields[13:]
    return Row(
        index=index, stage=stage, session=session, turn=turn, measured=bool(flags & 1), counted=bool(flags & 2),
        first_kind=_KINDS[flags >> 2], cause=_CAUSES[cause], status=status or None,  # type: ignore[arg-type]
        intended_s=times[0], sent_s=times[1], first_s=times[2], answer_s=times[3], last_s=times[4], end_s=times[5],  # type: ignore[arg-type]
        connect_ms=times[6], asked_input=counts[0], asked_output=counts[1], input_tokens=counts[2],
        output_tokens=counts[3], cached_tokens=counts[4], reasoning_tokens=counts[5],  # type: ignore[arg-type]
        gaps_ms=floats[:gaps], chunk_tokens=array("f", [each]) * chunks if each != _EVEN else floats[gaps:],
    )  # fmt: skip
