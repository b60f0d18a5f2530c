"""Figures out of rows."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, chain

from llmserve.bench import slo, stats
from llmserve.bench.records import Goal, Load, Requests, Row, Spread, StageSummary, Throughput, Tokens
from llmserve.bench.table import Table

__all__ = ["summarise"]

FULL = 0.9  # of the highest level: what counts as full load


def summarise(
    rows: Sequence[Row], load: Load, *, goals: Sequence[Goal] = (), percentiles: Sequence[float] = (),
    examples: dict[str, str] | None = None, resent: int = 0,
) -> StageSummary:  # fmt: skip
    """The figures of ``rows``, warm-ups among them left out."""
    measured = [row for row in rows if row.measured]
    good = [row for row in measured if row.ok]
    began = min((row.intended_s for row in measured), default=0.0)
    seconds = max((row.end_s for row in measured), default=began) - began
    more = tuple(dict.fromkeys((*percentiles, *slo.percentiles_of(goals))))
    shown = tuple(q for q in more if q not in stats.PERCENTILES)
    spreads = _spreads(measured, good, shown, open_loop=load.kind == "open")
    met = [row for row in good if slo.meets(row, goals)] if goals else []
    throughput = _throughput(measured, good, seconds)
    return StageSummary(
        load=load, seconds=round(seconds, 6), requests=_requests(rows, measured, good, examples or {}, resent),
        tokens=_tokens(measured, good), throughput=throughput, **spreads, goals=slo.judged(goals, spreads.get),
        goodput=slo.goodput(met, len(measured), seconds) if goals else None, notes=_notes(measured, throughput),
    )  # fmt: skip


def _requests(
    rows: Sequence[Row], measured: Sequence[Row], good: Sequence[Row], examples: dict[str, str], resent: int
) -> Requests:
    failed = [row for row in measured if not row.ok and row.cause != "interrupted"]
    causes = Counter(f"status_{row.status}" if row.cause == "status" else row.cause for row in failed)
    return Requests(
        ok=len(good), failed=len(failed), warmup=len(rows) - len(measured),
        interrupted=len(measured) - len(good) - len(failed), resent=resent, by_cause=dict(causes.most_common()),
        examples={cause: said for cause, said in examples.items() if cause != "interrupted"},
    )  # fmt: skip


def _tokens(measured: Sequence[Row], good: Sequence[Row]) -> Tokens:
    def total(name: str) -> int | None:
        found = [value for value in (getattr(row, name) for row in good) if value is not None]
        return sum(found) if found else None

    chunks = sum(len(row.chunk_tokens) for row in good)
    output = sum(row.output_tokens for row in good)
    return Tokens(
        input=total("input_tokens") or 0, output=output,
        lost=sum(row.output_tokens for row in measured if not row.ok), cached=total("cached_tokens"),
        reasoning=total("reasoning_tokens"), counted=all(row.counted for row in good),
        per_chunk=round(output / chunks, 3) if chunks else None,
    )  # fmt: skip


def _spreads(
    measured: Sequence[Row], good: Sequence[Row], more: Sequence[float], *, open_loop: bool
) -> dict[str, Spread | None]:
    def over(rows: Sequence[Row], value: str) -> Spread | None:
        found = (getattr(row, value) for row in rows)
        return stats.spread((one for one in found if one is not None), more=more)

    def since(rows: Sequence[Row], end: str, start: str) -> Spread | None:
        pairs = ((getattr(row, end), getattr(row, start)) for row in rows)
        return stats.spread(((e - s) * 1e3 for e, s in pairs if e is not None and s is not None), more=more)

    gaps = [row.gaps_ms for row in good if row.gaps_ms]
    chunk_gaps = stats.clustered(gaps, more=more)
    return {
        "ttft_ms": over(good, "ttft_ms"),
        "itl_ms": _itl(good, chunk_gaps, more),
        "chunk_gap_ms": chunk_gaps,
        "tpot_ms": over(good, "tpot_ms"),
        "e2e_ms": over(good, "e2e_ms"),
        "queue_ms": over(measured, "queue_ms"),
        "first_answer_ms": _first_answer(good, more),
        "connect_ms": over(measured, "connect_ms"),
        "first_token_ms": since(good, "first_s", "intended_s") if open_loop else None,
        "latency_ms": since(good, "last_s", "intended_s") if open_loop else None,
    }


def _itl(good: Sequence[Row], chunk_gaps: Spread | None, more: Sequence[float]) -> Spread | None:
    """Per token: a gap before a chunk of k tokens counts k times as a k-th of it."""
    if all(k == 1.0 for row in good for k in row.chunk_tokens[1:]):
        return chunk_gaps
    pairs = chain.from_iterable(zip(row.gaps_ms, row.chunk_tokens[1:], strict=True) for row in good)
    return stats.weighted(((gap / k, k) for gap, k in pairs if k), more=more)


def _first_answer(good: Sequence[Row], more: Sequence[float]) -> Spread | None:
    """The first token of the answer proper, where reasoning or tool calls came before it in some."""
    if all(row.first_kind == "content" for row in good):
        return None
    found = ((row.answer_s - row.sent_s) * 1e3 for row in good if row.answer_s is not None and row.sent_s is not None)
    return stats.spread(found, more=more)


def _throughput(measured: Sequence[Row], good: Sequence[Row], seconds: float) -> Throughput:
    rate = 1 / seconds if seconds > 0 else 0.0
    busy = sum(row.end_s - row.sent_s for row in measured if row.sent_s is not None)
    window = _steady(measured)
    steady_tokens = steady_requests = None
    if window:
        length = window[1] - window[0]
        steady_tokens = round(sum(_tokens_between(row, *window) for row in measured) / length, 2)
        steady_requests = round(sum(window[0] < row.end_s <= window[1] for row in good) / length, 4)
    return Throughput(
        requests=round(len(good) * rate, 4),
        output_tokens=round(sum(row.output_tokens for row in good) * rate, 2),
        input_tokens=round(sum(row.input_tokens or 0 for row in good) * rate, 2),
        steady_output_tokens=steady_tokens, steady_requests=steady_requests,
        window_s=(round(window[0], 6), round(window[1], 6)) if window else None, concurrency=round(busy * rate, 2),
    )  # fmt: skip


def _steady(measured: Sequence[Row]) -> tuple[float, float] | None:
    """From when the load was first full until it was last so; None if that is no time worth the name."""
    steps = sorted(
        chain.from_iterable(((row.sent_s, 1), (row.end_s, -1)) for row in measured if row.sent_s is not None)
    )
    level, levels = 0, []
    for _, step in steps:
        level += step
        levels.append(level)
    if not levels:
        return None
    enough = FULL * max(levels)
    full = [index for index, high in enumerate(levels) if high >= enough]
    start, end = steps[full[0]][0], steps[min(full[-1] + 1, len(steps) - 1)][0]  # it lasts until the next change
    typical = sorted(row.end_s - row.sent_s for row in measured if row.sent_s is not None)
    return (start, end) if end - start > 2 * typical[len(typical) // 2] else None


def _tokens_between(row: Row, start: float, end: float) -> float:
    """Tokens of ``row`` that arrived in a window of time."""
    if row.first_s is None or row.last_s is None or row.first_s > end or row.last_s <= start:
        return 0.0
    if start < row.first_s and row.last_s <= end:
        return float(row.output_tokens)
    times = list(accumulate((gap / 1e3 for gap in row.gaps_ms), initial=row.first_s))
    return sum(row.chunk_tokens[bisect_right(times, start) : bisect_right(times, end)])


def _notes(measured: Sequence[Row], throughput: Throughput) -> tuple[str, ...]:
    notes = []
    if measured and throughput.window_s is None:
        notes.append("The load was never full for long: the throughput includes its ramp and drain.")
    asked = [row for row in measured if row.ok and row.asked_input and row.input_tokens is not None]
    off = sum(row.input_tokens != row.asked_input for row in asked)
    if off:
        worst = max(abs((row.input_tokens or 0) - (row.asked_input or 0)) for row in asked)
        notes.append(f"{off} of {len(asked)} inputs differ from the length asked for, by up to {worst} tokens.")
    short = [row for row in measured if row.ok and row.asked_output and row.output_tokens < row.asked_output]
    if short:
        notes.append(f"{len(short)} of {len(measured)} answers ended before the output length asked for.")
    if any(row.ok and not row.counted for row in measured):
        notes.append("The server reported no usage: output tokens are chunks, of which one may hold several tokens.")
    return tuple(notes)


def rows_of(table: Table, stage: int | None = None) -> list[Row]:
    return [row for row in table if stage is None or row.stage == stage]
