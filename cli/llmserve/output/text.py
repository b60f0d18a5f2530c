"""Plain text that costs no import: sizes, durations, columns, and text that strangers wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

GIB = 1024**3

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` without terminal escapes, control and bidirectional-override characters; newlines and tabs stay.

    Everything that a model, a server, a file name or a log wrote passes here before a terminal sees it.
    """
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def escaped(json_text: str) -> str:
    """JSON with every character that could steer a terminal written as an escape; its value is the same."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def gib(size: float) -> str:
    """Bytes as GiB (2^30), or MiB below a tenth of that: ``14.96 GiB``, ``12.0 MiB``."""
    return f"{size / GIB:.2f} GiB" if abs(size) >= GIB / 10 else f"{size / 1024**2:.1f} MiB"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {small_unit}"
    return f"{whole} s"


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in aligned columns, as ``docker ps`` prints them; made without rich, which costs 50 ms to import."""
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
