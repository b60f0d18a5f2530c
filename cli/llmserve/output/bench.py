"""A benchmark's figures as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmserve.bench.records import CAUSES, Proof, Run, Serving, Spread, StageSummary
from llmserve.output.text import columns, duration

__all__ = ["report", "verdict"]

_ROWS = (
    ("first_token_ms", "first token, from the intended start"), ("latency_ms", "answer, from the intended start"),
    ("ttft_ms", "time to first token"), ("first_answer_ms", "… to the answer proper"), ("itl_ms", "between tokens"),
    ("chunk_gap_ms", "between chunks"), ("tpot_ms", "per output token"), ("e2e_ms", "whole answer"),
    ("queue_ms", "wait before sending"),
)  # fmt: skip


def report(run: Run) -> str:
    """The whole text: what was asked, whether to believe it, and the figures."""
    summary = run.summary
    parts = [
        _heading(run),
        verdict(summary.proof),
        _counts(summary),
        _table(summary),
        _goals(summary),
        _server(run.serving),
    ]
    return "\n\n".join(part for part in parts if part)


def _heading(run: Run) -> str:
    load = run.summary.load
    if load.kind == "closed":
        asked = f"{load.concurrency} at a time"
    else:
        cap = f", at most {load.concurrency} at a time" if load.concurrency else ""
        asked = f"{load.rate:g} per second ({load.arrival}){cap}" if load.rate else f"a trace{cap}"
    return f"{run.model} at {run.base_url}: {run.api}, {asked}, {duration(run.summary.seconds)}"


def verdict(proof: Proof) -> str:
    """Whether to believe the run."""
    lag, late = proof.client_lag_ms, proof.schedule_lateness_ms
    if not proof.valid:
        return (
            f"INVALID: {'; '.join(proof.reasons)}. The figures below are those of the client as much as the server's."
        )
    said = [f"the client was {_ms(lag.p99)} behind the kernel (p99)"] if lag and proof.stamps == "kernel" else []
    if late:
        said.append(f"sent {_ms(late.p99)} late (p99)")
    said.append(f"used {proof.cpu_share:.0%} of a core")
    return f"Valid: {', '.join(said)}."


def _counts(summary: StageSummary) -> str:
    requests, tokens, rate = summary.requests, summary.tokens, summary.throughput
    failed = f", {requests.failed} failed" if requests.failed else ""
    cut = f", {requests.interrupted} cut off by the end" if requests.interrupted else ""
    lines = [f"Requests    {requests.ok} ok{failed}{cut}; {rate.requests:.2f} per second"]
    lines += [f"  failed    {count} × {_cause(cause, requests.examples)}" for cause, count in requests.by_cause.items()]
    word = "tokens" if tokens.counted else "chunks"
    steady = f"; {rate.steady_output_tokens:,.1f} under full load" if rate.steady_output_tokens is not None else ""
    lines.append(f"Output      {tokens.output:,} {word}; {rate.output_tokens:,.1f} per second{steady}")
    cached = (
        f", {tokens.cached / tokens.input:.0%} from the prefix cache"
        if tokens.cached is not None and tokens.input
        else ""
    )
    lines.append(f"Input       {tokens.input:,} tokens; {rate.input_tokens:,.1f} per second{cached}")
    return "\n".join(lines)


def _cause(cause: str, examples: Mapping[str, str]) -> str:
    kind, _, status = cause.partition("status_")
    said = examples.get("status" if status else kind)
    return (f"HTTP {status}" if status else CAUSES[kind]) + (f" ({said[:80]})" if said else "")


def _table(summary: StageSummary) -> str:
    rows = []
    for name, label in _ROWS:
        spread: Spread | None = getattr(summary, name)
        hidden = name == "queue_ms" and summary.load.kind == "closed"
        if spread is None or hidden or (name == "chunk_gap_ms" and spread == summary.itl_ms):
            continue
        rows.append([label, *(_ms(getattr(spread, field)) for field in ("mean", "p50", "p90", "p95", "p99", "max"))])
    return columns(["", "mean", "p50", "p90", "p95", "p99", "max"], rows) if rows else ""


def _goals(summary: StageSummary) -> str:
    lines: Sequence[str] = [
        f"{'met   ' if goal.met else 'MISSED'}  {goal.text}: "
        + ("nothing to measure" if goal.reached is None else f"{_ms(goal.reached)} reached")
        for goal in summary.goals
    ]
    if summary.goodput:
        good = summary.goodput
        lines = [*lines, f"Goodput     {good.requests:.2f} requests per second kept them all ({good.share:.0%})"]
    return "\n".join(lines)


def _server(serving: Serving | None) -> str:
    if serving is None:
        return ""
    said = []
    if serving.output_tokens is not None:
        agree = (
            "" if serving.agrees is None else ", as counted here" if serving.agrees else ", which is NOT what came here"
        )
        said.append(f"{serving.output_tokens:,} output tokens{agree}")
    if serving.running_max is not None:
        said.append(f"up to {serving.running_max:.0f} requests at work")
    if serving.queued_max:
        said.append(f"up to {serving.queued_max:.0f} queued")
    if serving.kv_used_max:
        said.append(f"{serving.kv_used_max:.0%} of the KV cache used")
    if serving.cache_hit_rate is not None:
        said.append(f"{serving.cache_hit_rate:.0%} of the input from the prefix cache")
    return f"The server ({serving.kind}) says: {', '.join(said)}."


def _ms(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 1000 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"
