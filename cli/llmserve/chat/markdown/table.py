"""Tables: columns as wide as their cells, narrowed where the terminal ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmserve.chat.markdown.inline import inline
from llmserve.chat.markdown.spans import BOLD, DIM, Span, cells

__all__ = ["Layout", "is_delimiter", "layout", "may_be_row", "rows"]

_DELIMITER = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_PIPE = re.compile(r"(?<!\\)\|")
_GAP = " │ "
_NARROWEST = 3


def may_be_row(line: str) -> bool:
    return "|" in line


def is_delimiter(line: str, header: str) -> bool:
    """Whether ``line`` is the ``|---|:--:|`` below ``header``."""
    return "-" in line and bool(_DELIMITER.fullmatch(line)) and len(_cells(line)) == len(_cells(header))


@dataclass(frozen=True)
class Layout:
    """The widths of the columns in cells, and where their texts stand."""

    widths: list[int]
    aligns: list[str]

    def row(self, line: str, style: str = "") -> list[Span]:
        return _drawn(_row(line, len(self.widths), style), self.widths, self.aligns)


def layout(lines: list[str], width: int) -> Layout:
    """For a table of header, delimiter, and the rows so far."""
    header, delimiter, *body = lines
    aligns = [_align(cell) for cell in _cells(delimiter)]
    sizes = [[_size(cell) for cell in _row(line, len(aligns), "")] for line in (header, *body)]
    return Layout(_widths(sizes, width), aligns)


def rows(lines: list[str], drawn: Layout) -> list[list[Span]]:
    """The table that ``lines`` are."""
    header, _, *body = lines
    rule = "─┼─".join("─" * size for size in drawn.widths)
    return [drawn.row(header, BOLD), [Span(rule, DIM)], *map(drawn.row, body)]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _PIPE.split(line.strip().removeprefix("|").removesuffix("|"))]


def _row(line: str, columns: int, style: str) -> list[list[Span]]:
    found = _cells(line)[:columns]
    return [inline(cell, style) for cell in found + [""] * (columns - len(found))]


def _align(cell: str) -> str:
    left, right = cell.startswith(":"), cell.endswith(":")
    return "centre" if left and right else "right" if right else "left"


def _size(cell: list[Span]) -> int:
    return sum(cells(span.text) for span in cell)


def _widths(sizes: list[list[int]], width: int) -> list[int]:
    """The widest cell of each column; while that is too much, the widest column gives way."""
    widths = [max(_NARROWEST, *column) for column in zip(*sizes, strict=True)]
    room = max(width - len(_GAP) * (len(widths) - 1), _NARROWEST * len(widths))
    while sum(widths) > room:
        order = sorted(widths, reverse=True)
        widest, second = order[0], next((size for size in order if size < order[0]), _NARROWEST)
        if widest <= _NARROWEST:
            break
        many = widths.count(widest)
        cut = max(1, min(widest - second, -(-(sum(widths) - room) // many)))
        widths = [max(_NARROWEST, size - cut) if size == widest else size for size in widths]
    return widths


def _drawn(row: list[list[Span]], widths: list[int], aligns: list[str]) -> list[Span]:
    line: list[Span] = []
    for place, (cell, width, align) in enumerate(zip(row, widths, aligns, strict=True)):
        fitting = _cut(cell, width)
        blank = width - _size(fitting)
        before = {"left": 0, "right": blank, "centre": blank // 2}[align]
        line += [Span(_GAP, DIM)] if place else []
        line += [Span(" " * before), *fitting, Span(" " * (blank - before))]
    return line


def _cut(cell: list[Span], width: int) -> list[Span]:
    if _size(cell) <= width:
        return cell
    kept: list[Span] = []
    room = width - 1
    for span in cell:
        text = ""
        for char in span.text:
            if cells(text + char) > room:
                return [*kept, Span(f"{text}…", span.style)]
            text += char
        kept.append(span)
        room -= cells(text)
    return kept
