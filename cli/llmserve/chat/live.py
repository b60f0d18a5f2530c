"""The end of a terminal's output, redrawn in place while the rest of it is never touched again."""

from __future__ import annotations

import shutil
from typing import TextIO

__all__ = ["Live", "screen_size"]


def screen_size() -> tuple[int, int]:
    """Columns and rows; COLUMNS and LINES win, as for other tools."""
    size = shutil.get_terminal_size((80, 24))
    return max(8, size.columns), max(3, size.lines)


def _same(old: list[str], new: list[str]) -> int:
    """How many rows at the beginning are the same."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(old), len(new)))


class Live:
    """``update`` takes rows that are final and rows that are open; the open ones are replaced by the next update.

    No row may be wider than the terminal less one cell, or the arithmetic of the cursor fails. Only what differs is
    written, in one write, so that nothing flickers. A row that has left the screen is not changed any more: if it had
    to be, all from there on is written once more below.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows: list[str] = []  # on the screen below what is final; the cursor stands at the end of the last
        self._above = 0  # open rows that have left the screen, where no cursor reaches them

    def update(self, final: list[str], rows: list[str]) -> None:
        height = screen_size()[1]
        shown, self._rows = self._rows, rows
        target = final + rows
        above = self._above
        start = _same(shown[:above], target)
        still = above - len(final) if start == above else 0
        self._above = max(0, still, len(rows) - (height - 1))
        text = self._difference(shown[above:], target[start:], closed=not rows)
        if text:
            self._stream.write(text)
            self._stream.flush()

    def end(self) -> None:
        """What is open becomes final."""
        if self._rows:
            self._stream.write("\n")
            self._stream.flush()
        self._rows, self._above = [], 0

    @staticmethod
    def _difference(old: list[str], new: list[str], *, closed: bool) -> str:
        """What leads from ``old`` to ``new``, the cursor at the end of the last row of each, or below if ``closed``."""
        last = "\n" if closed and new else ""
        if not old:
            return "\n".join(new) + last
        same = _same(old, new)
        if same == len(old):
            return "".join(f"\n{row}" for row in new[same:]) + last
        if same == len(old) - 1 and same < len(new) and new[same].startswith(old[same]):
            return new[same][len(old[same]) :] + "".join(f"\n{row}" for row in new[same + 1 :]) + last
        up = len(old) - 1 - same
        back = (f"\x1b[{up}A" if up else "") + "\r\x1b[J"
        if same >= len(new):  # fewer rows than before
            return back + ("" if not new else "\x1b[1A\r\x1b[J" + new[-1]) + last
        return back + "\n".join(new[same:]) + last
