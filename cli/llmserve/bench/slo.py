"""Objectives as people write them: ``ttft:p99<500ms,itl:p95<50ms``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from llmserve.bench.records import Goal, Goodput, Row, Spread
from llmserve.bench.stats import percentile
from llmserve.errors import UsageError

__all__ = ["METRICS", "judged", "meets", "parse_goals"]

METRICS = {
    "ttft": "ttft_ms", "itl": "itl_ms", "tpot": "tpot_ms", "e2e": "e2e_ms", "queue": "queue_ms",
    "latency": "latency_ms", "first_token": "first_token_ms",
}  # fmt: skip
_GOAL = re.compile(r"([a-z0-9_]+):(mean|max|p\d{1,2}(?:\.\d+)?)\s*<=?\s*(\d+(?:\.\d+)?)\s*(us|ms|s)?")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, None: 1.0}
_HINT = "Use --slo ttft:p99<500ms,itl:p95<50ms; metrics: " + ", ".join(METRICS) + "."


def parse_goals(text: str | None) -> tuple[Goal, ...]:
    """The objectives in ``text``, separated by commas; bounds in milliseconds.

    Raises:
        UsageError: one is none, or of an unknown metric.
    """
    goals = []
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        match = _GOAL.fullmatch(part)
        if not match or match[1] not in METRICS:
            raise UsageError(f"--slo {part!r} is no objective.", hint=_HINT)
        bound = float(match[3]) * _UNITS[match[4]]
        goals.append(Goal(text=part, metric=match[1], statistic=match[2], bound=bound))
    return tuple(goals)


def percentiles_of(goals: Sequence[Goal]) -> tuple[float, ...]:
    return tuple(float(goal.statistic[1:]) for goal in goals if goal.statistic.startswith("p"))


def judged(goals: Sequence[Goal], spreads: Callable[[str], Spread | None]) -> tuple[Goal, ...]:
    """The goals with what was reached; without any value a goal is missed."""
    return tuple(_judged(goal, spreads(METRICS[goal.metric])) for goal in goals)


def _judged(goal: Goal, spread: Spread | None) -> Goal:
    if spread is None:
        return replace(goal, met=False)
    reached = spread.more.get(goal.statistic)
    reached = getattr(spread, goal.statistic) if reached is None else reached
    return replace(goal, reached=reached, met=reached < goal.bound)


def meets(row: Row, goals: Sequence[Goal]) -> bool:
    """Whether one request kept every objective's bound by itself; of its gaps, the objective's own statistic."""
    return row.ok and all(_value(row, goal) < goal.bound for goal in goals)


def goodput(met: int, tokens: int, of: int, seconds: float) -> Goodput:
    """``met`` requests of ``of``, with ``tokens``, in ``seconds``."""
    rate = 1 / seconds if seconds > 0 else 0.0
    share = met / of if of else 0.0
    return Goodput(requests=round(met * rate, 4), output_tokens=round(tokens * rate, 2), share=round(share, 4))


def _value(row: Row, goal: Goal) -> float:
    if goal.metric == "itl":
        gaps = sorted(gap / max(k, 1) for gap, k in zip(row.gaps_ms, row.chunk_tokens[1:], strict=True))
        if not gaps:
            return 0.0
        if goal.statistic == "mean":
            return sum(gaps) / len(gaps)
        return gaps[-1] if goal.statistic == "max" else percentile(gaps, float(goal.statistic[1:]))
    if goal.metric in ("latency", "first_token"):
        at = row.last_s if goal.metric == "latency" else row.first_s
        return 0.0 if at is None else (at - row.intended_s) * 1e3
    value = getattr(row, METRICS[goal.metric])
    return 0.0 if value is None else float(value)
