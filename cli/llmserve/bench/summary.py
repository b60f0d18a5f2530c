"""Figures out of rows."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from llmserve.bench import self_proof, slo, stats
from llmserve.bench.columns import Columns, gather
from llmserve.bench.records import Goal, Load, Proof, Requests, Row, Spread, StageSummary, Summary, Throughput, Tokens
from llmserve.bench.steady import steady_window
from llmserve.bench.tally import Tally

__all__ = ["proof_of", "proven", "summarise"]


def summarise(
    rows: Iterable[Row], load: Load, *, goals: Sequence[Goal] = (), percentiles: Sequence[float] = (),
    examples: dict[str, str] | None = None, resent: int = 0, parts: Sequence[StageSummary] = (),
) -> StageSummary:  # fmt: skip
    """The figures of ``rows``, warm-ups among them left out. ``rows`` are iterated twice: a Table, or a list.

    ``parts`` are the stages of a run that had several: the time between them is not the server's, and there is no one
    load that could be steady.
    """
    columns = gather(rows, goals, open_loop=load.kind == "open")
    several = len(parts) > 1
    seconds = math.fsum(part.seconds for part in parts) if several else columns.end - columns.began
    more = tuple(dict.fromkeys((*percentiles, *slo.percentiles_of(goals))))
    spreads = _spreads(columns, tuple(q for q in more if q not in stats.PERCENTILES))
    throughput = _throughput(rows, columns, seconds, steady=not several)
    return StageSummary(
        load=load, seconds=round(seconds, 6), requests=_requests(columns, examples or {}, resent),
        tokens=_tokens(columns), throughput=throughput, **spreads, goals=slo.judged(goals, spreads.get),
        goodput=slo.goodput(columns.met, columns.met_tokens, columns.measured, seconds) if goals else None,
        notes=_notes(columns, ramps=not several and throughput.window_s is None),
    )  # fmt: skip


def proven(
    figures: StageSummary, tallies: Sequence[Tally], *, extra_notes: Sequence[str] = (),
    stages: Sequence[StageSummary] = (),
) -> Summary:  # fmt: skip
    """The figures of a whole run with the proof of the client that made them."""
    fields = {name: getattr(figures, name) for name in figures.__dataclass_fields__}
    fields |= {"notes": (*figures.notes, *extra_notes), "proof": proof_of(figures, tallies)}
    return Summary(**fields, stages=tuple(stages))


def proof_of(figures: StageSummary, tallies: Sequence[Tally]) -> Proof:
    """What the processes noted while these figures were made."""
    tokens = figures.tokens.output + figures.tokens.lost
    return self_proof.prove(tallies, chunk_gap=figures.chunk_gap_ms, tokens=tokens)


def _requests(columns: Columns, examples: dict[str, str], resent: int) -> Requests:
    return Requests(
        ok=columns.good, failed=columns.causes.total(), warmup=columns.rows - columns.measured,
        interrupted=columns.interrupted, resent=resent, by_cause=dict(columns.causes.most_common()),
        examples={cause: said for cause, said in examples.items() if cause != "interrupted"},
    )  # fmt: skip


def _tokens(columns: Columns) -> Tokens:
    def total(name: str) -> int | None:
        return columns.totals[name] if columns.seen[name] else None

    output = columns.totals["output_tokens"]
    return Tokens(
        input=total("input_tokens") or 0, output=output, lost=columns.lost_tokens, cached=total("cached_tokens"),
        reasoning=total("reasoning_tokens"), counted=not columns.uncounted,
        per_chunk=round(output / columns.chunks, 3) if columns.chunks else None,
    )  # fmt: skip


def _spreads(columns: Columns, more: Sequence[float]) -> dict[str, Any]:
    """Of each measure its Spread, or None."""
    found = {name: stats.spread(values, more=more) for name, values in columns.values.items()}
    if columns.kinds <= {"content"}:  # nothing came before the answer proper
        found["first_answer_ms"] = None
    gaps = stats.clustered(columns.gaps, columns.sizes, more=more)
    return {**found, "chunk_gap_ms": gaps, "itl_ms": _itl(columns, gaps, more)}


def _itl(columns: Columns, gaps: Spread | None, more: Sequence[float]) -> Spread | None:
    """Per token: a gap before a chunk of k tokens counts k times as a k-th of it."""
    if columns.shares is None:
        return gaps
    pairs = zip(columns.gaps, columns.shares, strict=True)
    return stats.weighted(((gap / k, k) for gap, k in pairs if k), more=more)


def _throughput(rows: Iterable[Row], columns: Columns, seconds: float, *, steady: bool) -> Throughput:
    rate = 1 / seconds if seconds > 0 else 0.0
    busy = sum(columns.ended) - sum(columns.sent)
    window = steady_window(columns.sent, columns.ended) if steady else None
    steady_tokens = steady_requests = None
    if window:
        length = window[1] - window[0]
        steady_tokens = round(sum(_tokens_between(row, *window) for row in rows if row.measured) / length, 2)
        steady_requests = round(sum(window[0] < end <= window[1] for end in columns.done) / length, 4)
    return Throughput(
        requests=round(columns.good * rate, 4),
        output_tokens=round(columns.totals["output_tokens"] * rate, 2),
        input_tokens=round(columns.totals["input_tokens"] * rate, 2),
        steady_output_tokens=steady_tokens, steady_requests=steady_requests,
        window_s=(round(window[0], 6), round(window[1], 6)) if window else None, concurrency=round(busy * rate, 2),
    )  # fmt: skip


def _tokens_between(row: Row, start: float, end: float) -> float:
    """Tokens of ``row`` that arrived in a window of time."""
    if row.first_s is None or row.last_s is None or row.first_s > end or row.last_s <= start:
        return 0.0
    if start < row.first_s and row.last_s <= end:
        return float(row.output_tokens)
    times = list(accumulate((gap / 1e3 for gap in row.gaps_ms), initial=row.first_s))
    return sum(row.chunk_tokens[bisect_right(times, start) : bisect_right(times, end)])


def _notes(columns: Columns, *, ramps: bool) -> tuple[str, ...]:
    notes = []
    if columns.measured and ramps:
        notes.append("The load was never full for long: the throughput includes its ramp and drain.")
    if columns.inputs_off:
        notes.append(
            f"{columns.inputs_off} of {columns.asked_inputs} inputs differ from the length asked for, by up to "
            f"{columns.worst_off} tokens."
        )
    if columns.short:
        notes.append(f"{columns.short} of {columns.measured} answers ended before the output length asked for.")
    if columns.uncounted:
        notes.append("The server reported no usage: output tokens are chunks, of which one may hold several tokens.")
    return tuple(notes)
