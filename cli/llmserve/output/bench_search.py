"""A search's levels, and runs side by side, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmserve.bench.advice import ms
from llmserve.bench.records import Run
from llmserve.bench.search import Level
from llmserve.output.bench import verdict
from llmserve.output.text import columns

if TYPE_CHECKING:
    from llmserve.bench.compare import Entry

__all__ = ["ROWS", "cell", "ratio", "search_report", "side_by_side", "wrapped"]

WIDEST = 120
ROWS = (
    ("requests_ok", "requests ok"), ("requests_failed", "failed"), ("requests_per_s", "requests per second"),
    ("output_tokens_per_s", "output tokens per second"), ("ttft_ms_mean", "TTFT mean"), ("ttft_ms_p50", "TTFT p50"),
    ("ttft_ms_p99", "TTFT p99"), ("tpot_ms_mean", "TPOT mean"), ("tpot_ms_p99", "TPOT p99"),
    ("itl_ms_p50", "ITL p50"), ("itl_ms_p99", "ITL p99"), ("e2e_ms_mean", "whole answer mean"),
    ("e2e_ms_p99", "whole answer p99"), ("queue_ms_mean", "wait before sending mean"),
    ("own_per_million", "cost per million tokens"), ("hosted_per_million", "hosted, per million"),
)  # fmt: skip


def search_report(run: Run, levels: Sequence[Level], *, by_rate: bool) -> str:
    """What was asked, whether to believe it, the levels, and the sentences."""
    how = "requests per second" if by_rate else "users at a time"
    heading = f"{run.model} at {run.base_url}: {run.api}, a search over {how}, {len(levels)} levels"
    said = "\n".join(map(wrapped, run.answers))
    return "\n\n".join([heading, wrapped(verdict(run.summary.proof)), _levels(levels, by_rate=by_rate), said])


def _levels(levels: Sequence[Level], *, by_rate: bool) -> str:
    rows = []
    for level in sorted(levels, key=lambda one: one.load):
        figures = level.summary
        times = (figures.ttft_ms, figures.tpot_ms, figures.e2e_ms)
        shown = [ms(spread.p95) if spread else "–" for spread in times]
        good = f"{level.goodput:.2f}" if figures.goodput else "–"
        rows.append([f"{level.load:.3g}", f"{level.throughput:,.0f}", *shown, good, _within(level)])
    first = "per second" if by_rate else "users"
    table = columns([first, "tokens/s", "TTFT p95", "TPOT p95", "answer p95", "goodput/s", "within"], rows)
    return table if all(level.valid for level in levels) else f"{table}\n* INVALID: the client was too slow there."


def _within(level: Level) -> str:
    """In few letters, for a narrow terminal: the sentences say more."""
    missed = [f"{goal.metric}:{goal.statistic}" for goal in level.summary.goals if not goal.met]
    mark = "" if level.valid else "*"
    if level.fits:
        return f"yes{mark}"
    return f"no: {missed[0] if level.why.startswith('missed') else level.why.split(':')[0]}{mark}"


def wrapped(sentence: str) -> str:
    """The sentence in lines that a terminal of this width does not break."""
    import shutil

    width = min(WIDEST, max(40, shutil.get_terminal_size().columns - 1))
    return textwrap.fill(sentence, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def side_by_side(entries: Sequence[Entry]) -> str:
    """A column for each run; from the second on with the ratio to the first."""
    first, rows = entries[0], []
    for name, label in ROWS:
        if not any(name in one.figures for one in entries):
            continue
        cells = [cell(one, name) for one in entries]
        ratios = [ratio(first.figures.get(name), one.figures.get(name)) for one in entries]
        pairs = zip(cells, ratios, strict=True)
        rows.append([label, cells[0], *(f"{cell}  {ratio}".rstrip() for cell, ratio in list(pairs)[1:])])
    return columns(["", *(one.label for one in entries)], rows)


def cell(one: Entry, name: str) -> str:
    value = one.figures.get(name)
    if value is None:
        return "–"
    return ms(value) if "_ms_" in name else f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def ratio(first: float | None, value: float | None) -> str:
    return f"×{value / first:.2f}" if first and value is not None else ""
