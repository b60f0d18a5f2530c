"""Drawing with characters: bars of shares with their legend, and tables whose last column folds. Needs no rich."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from llmserve.output.text import printable

_WIDEST, _NARROWEST = 100, 24
_BLOCKS, _SIGNS = "▒▚▞▀▄▌▐▘▝▖▗", "+*%o~x@&:^"
_USUAL = {"weights": ("█", "#"), "KV cache": ("▓", "="), "unused": ("░", ".")}
_COLOURS = {"weights": 34, "KV cache": 32, "unused": 90}
_MORE_COLOURS = (33, 35, 36, 31, 93, 95, 96, 91, 94, 92)
_PLAIN = str.maketrans({"×": "x", "–": "-", "…": ".", "→": ">", "≥": ">", "≤": "<", "−": "-", "·": "-"})


@dataclass(frozen=True)
class Look:
    """What the terminal can show: ``width`` in columns, characters beyond ASCII, colours."""

    width: int = 80
    unicode: bool = True
    colour: bool = False

    @staticmethod
    def of(stream: TextIO, *, colour: bool = True) -> Look:
        """The look that suits a stream; files and pipes get no colour."""
        import shutil

        colour = colour and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
        return Look(width, _shows(stream, "█░×…"), colour)


def bar(sizes: Sequence[int], width: int) -> list[int]:
    """Cells of a bar of ``width`` for each size: in proportion, yet at least one for what is there at all."""
    total, there = sum(sizes), sum(size > 0 for size in sizes)
    if not total or width < there:
        return [0] * len(sizes)
    spare = width - there
    exact = [max(0.0, size / total * width - 1) if size else 0.0 for size in sizes]
    scale = spare / sum(exact) if sum(exact) else 0.0
    cells = [int(part * scale) for part in exact]
    for place in sorted(range(len(sizes)), key=lambda i: cells[i] - exact[i] * scale)[: spare - sum(cells)]:
        cells[place] += 1
    return [cell + (size > 0) for cell, size in zip(cells, sizes, strict=True)]


def draw(shares: Sequence[tuple[str, int]], look: Look) -> tuple[str, list[str]]:
    """A bar of named sizes, and the swatch of each for its legend."""
    swatches = _swatches([name for name, _ in shares], look)
    cells = bar([size for _, size in shares], look.width - 2)
    return "".join(_stretched(swatch, cell) for swatch, cell in zip(swatches, cells, strict=True)), swatches


def rows(
    table: Sequence[Sequence[str]],
    look: Look,
    *,
    indent: int = 2,
    right: Sequence[int] = (),
    swatches: Sequence[str] = (),
) -> Iterator[str]:
    """Lines of a table without a header; the last column folds, and stands below where there is no room beside.

    Columns numbered in ``right`` are set flush right. ``swatches`` stand before the rows, one cell wide each.
    """
    cells = [[printable(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    marks = [f"{swatch}  " for swatch in swatches] or [""] * len(cells)
    left = indent + (3 if swatches else 0) + sum(widths) + 2 * len(widths)
    for mark, row in zip(marks, cells, strict=True):
        places = enumerate(zip(row[:-1], widths, strict=True))
        start = "".join(f"{cell.rjust(width) if i in right else cell.ljust(width)}  " for i, (cell, width) in places)
        start = " " * indent + mark + start
        if look.width - left >= min(_NARROWEST, len(row[-1])):
            yield from folded(row[-1], look, first=start, rest=" " * left, used=left)
        else:
            below = " " * (indent + 4)
            yield from (start.rstrip(), *folded(row[-1], look, first=below, rest=below))


def folded(text: str, look: Look, *, first: str = "", rest: str = "", used: int | None = None) -> list[str]:
    """``text`` in lines of the look's width; words such as paths and commands are not broken."""
    used = max(len(first), len(rest)) if used is None else used
    lines = textwrap.wrap(printable(text), max(look.width - used, 8), break_long_words=False, break_on_hyphens=False)
    return [(first + line).rstrip() for line in lines[:1] or [""]] + [rest + line for line in lines[1:]]


def plain(text: str) -> str:
    """The typography of messages in ASCII, for terminals whose encoding has nothing else."""
    return text.translate(_PLAIN)


def _swatches(names: Sequence[str], look: Look) -> list[str]:
    others = iter(_BLOCKS if look.unicode else _SIGNS)
    colours = iter(_MORE_COLOURS)
    found = []
    for name in names:
        usual = _USUAL.get(name)
        sign = usual[not look.unicode] if usual else next(others, "?")
        colour = _COLOURS.get(name) or next(colours, 0)
        found.append(f"\x1b[{colour}m{sign}\x1b[0m" if look.colour else sign)
    return found


def _stretched(swatch: str, cells: int) -> str:
    if not swatch.startswith("\x1b"):
        return swatch * cells
    start, _, rest = swatch.partition("m")
    return f"{start}m{rest[0] * cells}\x1b[0m" if cells else ""


def _shows(stream: TextIO, characters: str) -> bool:
    try:
        characters.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
