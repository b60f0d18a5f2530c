"""Markdown in pieces to rows of a terminal. However the pieces are cut, the final rows are the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmserve.chat.markdown import table
from llmserve.chat.markdown.code import Highlighter
from llmserve.chat.markdown.lines import FENCE, drawn
from llmserve.chat.markdown.spans import DIM, Span, cells, painted
from llmserve.chat.markdown.wrap import wrap

__all__ = ["Markdown", "Rows"]

_LONGEST = 1200  # characters of an open line; of a longer one the rows that are full are final
_WIDEST = 120  # cells; longer lines of prose are hard to read
_TALLEST = 12  # lines of a table whose columns still grow: it must not leave the screen before they are settled


@dataclass(frozen=True)
class Rows:
    """``final`` are done with; ``open`` may still change. No row is wider than the terminal."""

    final: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


class Markdown:
    """One answer. ``colours`` off leaves layout only; with ``literal`` a style, nothing but lines is looked for."""

    def __init__(self, width: int, *, colours: bool = True, literal: str | None = None) -> None:
        self.width = max(4, width)
        self._colours = colours
        self._literal = literal
        self._line: list[str] = []  # pieces of the open line
        self._length = 0
        self._lead, self._lead_cells, self._indent = "", 0, ""  # the begun row of a line of which some rows are final
        self._table: list[str] = []
        self._settled: table.Layout | None = None  # of a table whose rows are final as they come
        self._fence: tuple[str, str] | None = None
        self._code = Highlighter("")
        self._blank = True  # nothing but blank lines so far, or before this line

    def feed(self, text: str) -> Rows:
        """The rows that ``text`` made final, and those that are open now."""
        final: list[str] = []
        *whole, rest = text.split("\n")
        for line in whole:
            self._add(line, final)
            self._end_line(final)
        self._add(rest, final)
        return Rows(final, self._open())

    def end(self) -> Rows:
        """The rest. A fence that was left open is closed."""
        final: list[str] = []
        if self._length or self._lead:
            self._end_line(final)
        self._end_table(final)
        self._fence = None
        return Rows(final)

    def _add(self, piece: str, final: list[str]) -> None:
        while piece:
            room = _LONGEST - self._length
            self._line.append(piece[:room])
            self._length += len(piece[:room])
            piece = piece[room:]
            if self._length >= _LONGEST:
                self._cut(final)

    def _cut(self, final: list[str]) -> None:
        """Make all rows of a long line final but its last."""
        self._end_table(final)
        *done, last = self._rows(self._take(), begun=True)
        final += [row for row, _ in done]
        self._lead, self._lead_cells = last

    def _take(self) -> str:
        text = "".join(self._line)
        self._line, self._length = [], 0
        return text

    def _end_line(self, final: list[str]) -> None:
        text = self._take()
        if self._lead:
            final += [row for row, _ in self._rows(text)]
            self._lead, self._lead_cells, self._indent = "", 0, ""
        elif self._literal is not None:
            final += [row for row, _ in self._rows(text)]
        elif self._fence:
            final += self._code_line(text)
        else:
            self._prose_line(text, final)

    def _prose_line(self, text: str, final: list[str]) -> None:
        if self._settled and table.may_be_row(text):
            final.append(painted(self._settled.row(text), colours=self._colours))
            return
        if self._table and self._goes_on(text):
            self._table.append(text)
            if len(self._table) >= _TALLEST:
                settled = table.layout(self._table, self.width)
                self._end_table(final)
                self._settled = settled
            return
        self._end_table(final)
        fence = FENCE.fullmatch(text)
        if fence:
            self._fence = (fence["marks"], fence["indent"])
            self._code = Highlighter(fence["language"] if self._colours else "")
            final += [row for row, _ in self._cut_rows([Span(text, DIM)])]
        elif not text.strip():
            final += [] if self._blank else [""]
        elif table.may_be_row(text):
            self._table = [text]
        else:
            final += [row for row, _ in self._rows(text)]
        self._blank = not text.strip()

    def _goes_on(self, text: str) -> bool:
        return table.is_delimiter(text, self._table[0]) if len(self._table) == 1 else table.may_be_row(text)

    def _end_table(self, final: list[str]) -> None:
        final += self._table_rows()
        self._table, self._settled = [], None

    def _table_rows(self) -> list[str]:
        if len(self._table) > 1:
            drawn_rows = table.rows(self._table, table.layout(self._table, self.width))
            return [painted(row, colours=self._colours) for row in drawn_rows]
        return [row for line in self._table for row, _ in self._rows(line)]

    def _code_line(self, text: str) -> list[str]:
        marks, indent = self._fence or ("", "")
        mark = text.strip()
        if len(mark) >= len(marks) and mark == marks[0] * len(mark):
            self._fence, self._blank = None, False
            return [row for row, _ in self._cut_rows([Span(mark, DIM)])]
        return [row for row, _ in self._cut_rows(self._code.line(text.removeprefix(indent).expandtabs(4)))]

    def _open(self) -> list[str]:
        """The rows that may still change; highlighting waits for the end of a line."""
        text = "".join(self._line)
        shown = self._table_rows()
        if (self._table or self._settled) and text and self._goes_on_openly(text):
            return shown
        if not text and not self._lead:
            return shown
        return shown + [row for row, _ in self._rows(text)]

    def _goes_on_openly(self, text: str) -> bool:
        """A row of a table is drawn when it is whole; half of one would jump about."""
        return text.lstrip().startswith("|") or (len(self._table) == 1 and not text.strip("-:| "))

    def _rows(self, text: str, *, begun: bool = False) -> list[tuple[str, int]]:
        """Rows of a line, or of the next part of one, each with its width. ``begun``: more of the line follows."""
        if self._fence:
            return self._cut_rows([Span(text.expandtabs(4))])
        width = min(self.width, _WIDEST)
        if self._literal is not None:
            spans, indent = [Span(text, self._literal)], ""
        elif self._lead:
            spans, indent = [Span(text)], self._indent
        else:
            spans, indent = drawn(text, width)
            self._indent = indent if begun else ""
        return self._joined(wrap(spans, width, begun=self._lead_cells, indent=indent))

    def _cut_rows(self, spans: list[Span]) -> list[tuple[str, int]]:
        """Code is broken where the terminal would break it, at any character."""
        rows: list[list[Span]] = [[]]
        room = self.width - self._lead_cells
        for span in spans:
            text = span.text
            while cells(text) > room:
                size = _fitting(text, room)
                rows[-1].append(Span(text[:size], span.style))
                rows.append([])
                text, room = text[size:], self.width
            rows[-1].append(Span(text, span.style))
            room -= cells(text)
        return self._joined(rows)

    def _joined(self, rows: list[list[Span]]) -> list[tuple[str, int]]:
        made = [(painted(row, colours=self._colours), sum(cells(span.text) for span in row)) for row in rows]
        text, size = made[0]
        return [(self._lead + text, self._lead_cells + size), *made[1:]]


def _fitting(text: str, room: int) -> int:
    if text.isascii():
        return max(1, room)
    used = 0
    for place, char in enumerate(text):
        used += cells(char)
        if used > room:
            return max(1, place)
    return len(text)
