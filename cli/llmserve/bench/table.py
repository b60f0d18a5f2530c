"""Rows as columns: about 130 bytes for a request and 8 for a chunk, however long a run is."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from llmserve.bench.records import CAUSES, Row

__all__ = ["Table"]

_CAUSES = ["", *CAUSES]
_KINDS = [None, "content", "reasoning", "tool"]
_TIMES = ("intended_s", "sent_s", "first_s", "answer_s", "last_s", "end_s", "connect_ms")
_COUNTS = ("asked_input", "asked_output", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_SMALL = ("stage", "session", "turn")
_NAN = math.nan


class Table:
    """Append rows, read them back one by one or column by column. A missing time is NaN, a missing count -1."""

    def __init__(self) -> None:
        self.times = {name: array("d") for name in _TIMES}
        self.counts = {name: array("i") for name in _COUNTS}
        self.small = {name: array("i") for name in _SMALL}
        self.flags = array("B")  # 1 measured, 2 counted, 4.. kind
        self.causes = array("B")
        self.statuses = array("H")
        self.gaps = array("f")
        self.chunk_tokens = array("f")
        self.gap_ends = array("q")  # one gap less than chunks: a row's chunk_tokens has an item more, if any
        self.chunk_ends = array("q")

    def __len__(self) -> int:
        return len(self.causes)

    def add(self, row: Row) -> None:
        """Keep ``row``; its index is its place here."""
        for name in _TIMES:
            value = getattr(row, name)
            self.times[name].append(_NAN if value is None else value)
        for name in _COUNTS:
            value = getattr(row, name)
            self.counts[name].append(-1 if value is None else value)
        for name in _SMALL:
            self.small[name].append(getattr(row, name))
        self.flags.append(row.measured | row.counted << 1 | _KINDS.index(row.first_kind) << 2)
        self.causes.append(_CAUSES.index(row.cause))
        self.statuses.append(row.status or 0)
        self.gaps.extend(row.gaps_ms)
        self.chunk_tokens.extend(row.chunk_tokens)
        self.gap_ends.append(len(self.gaps))
        self.chunk_ends.append(len(self.chunk_tokens))

    def extend(self, other: Table) -> None:
        """Append the rows of a table that another process filled; both count from the same start."""
        gaps, chunks = len(self.gaps), len(self.chunk_tokens)
        for mine, theirs in zip(self._plain(), other._plain(), strict=True):
            mine.extend(theirs)
        self.gap_ends.extend(array("q", (end + gaps for end in other.gap_ends)))
        self.chunk_ends.extend(array("q", (end + chunks for end in other.chunk_ends)))

    def _plain(self) -> Sequence[array[Any]]:
        groups: tuple[array[Any], ...] = (*self.times.values(), *self.counts.values(), *self.small.values())
        return (*groups, self.flags, self.causes, self.statuses, self.gaps, self.chunk_tokens)

    def row(self, index: int) -> Row:
        times = {name: column[index] for name, column in self.times.items()}
        counts = {name: column[index] for name, column in self.counts.items()}
        flags = self.flags[index]
        return Row(
            index=index,
            measured=bool(flags & 1), counted=bool(flags & 2), first_kind=_KINDS[flags >> 2],  # type: ignore[arg-type]
            cause=_CAUSES[self.causes[index]], status=self.statuses[index] or None,
            **{name: column[index] for name, column in self.small.items()},
            **{name: None if value != value else value for name, value in times.items()},  # type: ignore[arg-type]
            **{name: None if value < 0 else value for name, value in counts.items()},  # type: ignore[arg-type]
            gaps_ms=self.gaps[self.gap_ends[index - 1] if index else 0 : self.gap_ends[index]],
            chunk_tokens=self.chunk_tokens[self.chunk_ends[index - 1] if index else 0 : self.chunk_ends[index]],
        )  # fmt: skip

    def __iter__(self) -> Iterator[Row]:
        return (self.row(index) for index in range(len(self)))
