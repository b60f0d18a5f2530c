"""Runs as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from llmserve.bench.compare import Entry
from llmserve.output.text import printable

__all__ = ["csv_text", "markdown", "shown"]

_WORDS = ("label", "tool", "model", "base_url", "engine", "started", "load")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(entries: Sequence[Entry]) -> str:
    """A line for each run, and one for each level of a search; the columns are the figures' names."""
    figures = list(dict.fromkeys(name for one in entries for name in one.figures))
    levels = list(dict.fromkeys(name for one in entries for level in one.levels for name in level if name != "goals"))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_WORDS, "valid", *figures, *(f"level_{name}" for name in levels)])
    for one in entries:
        words = [_harmless(getattr(one, name)) for name in _WORDS]
        known = [*words, "" if one.valid is None else one.valid, *(one.figures.get(name, "") for name in figures)]
        writer.writerow([*known, *("" for _ in levels)])
        for level in one.levels:
            cells = [_harmless(value) if isinstance(value, str) else value for value in map(level.get, levels)]
            writer.writerow([*words, "", *("" for _ in figures), *cells])
    return out.getvalue()


def _harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def markdown(entries: Sequence[Entry]) -> str:
    """A table with a column for each run, and the sentences."""
    from llmserve.output.bench_search import ROWS, cell

    lines = ["| | " + " | ".join(shown(one.label) for one in entries) + " |", "|---|" + "---:|" * len(entries)]
    for title, name in (("tool", "tool"), ("model", "model"), ("engine", "engine"), ("load", "load")):
        lines.append(f"| {title} | " + " | ".join(shown(getattr(one, name)) or "–" for one in entries) + " |")
    proofs = ["–" if one.valid is None else "valid" if one.valid else "INVALID" for one in entries]
    lines.append("| its own proof | " + " | ".join(proofs) + " |")
    for name, title in ROWS:
        if any(name in one.figures for one in entries):
            lines.append(f"| {title} | " + " | ".join(cell(one, name) for one in entries) + " |")
    for one in entries:
        lines += ["", *(f"* {shown(said)}" for said in one.answers)] if one.answers else []
    return "\n".join(lines) + "\n"


def shown(text: str) -> str:
    """Text that strangers wrote, as text of Markdown."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return " ".join(printable(text).split())
