"""A search for how much load an endpoint bears, run on a warm :class:`llmserve.bench.runner.Bench`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmserve import records
from llmserve.bench import advice, search
from llmserve.bench.records import Run, StageSummary, Summary
from llmserve.bench.runner import Bench
from llmserve.bench.search import Level
from llmserve.bench.settings import Settings, Stage

__all__ = ["ASSUMED", "Quest", "concluded", "levels_of", "objectives"]

ASSUMED = {"embeddings": "e2e:p95<2s"}
ASSUMED_OTHERWISE = "ttft:p95<2s,tpot:p95<100ms"  # a reader waits two seconds, and reads ten tokens in one


@dataclass(frozen=True, kw_only=True)
class Quest:
    """What a search may do. ``budget_s`` is for all levels, of ``seconds`` (or ``requests``) each."""

    most: int = 1024
    seconds: float = 10.0
    requests: int | None = None
    start_rate: float | None = None
    budget_s: float | None = None

    @property
    def by_rate(self) -> bool:
        return self.start_rate is not None

    def stage(self, load: float, settings: Settings) -> Stage:
        name = f"{load:.3g} per second" if self.by_rate else f"{load:.0f} user{'' if load == 1 else 's'}"
        base = replace(settings.stage, requests=self.requests, duration_s=self.seconds, name=name)
        return replace(base, rate=load) if self.by_rate else replace(base, rate=None, concurrency=round(load))


def objectives(settings: Settings) -> tuple[Settings, bool]:
    """The settings with objectives: without any there would be nothing to search for; whether they are assumed."""
    if settings.slo:
        return settings, False
    return replace(settings, slo=ASSUMED.get(settings.api, ASSUMED_OTHERWISE)), True


def levels_of(known: Bench, quest: Quest, begin: Callable[[Stage], None] = lambda _: None) -> list[Level]:
    """Search; ends early when the user stops the run or the server answers no more."""
    began, last = time.monotonic(), [0.0]

    def measure(load: float) -> Level:
        stage = quest.stage(load, known.settings)
        begin(stage)
        at = known.now_s
        level = search.judged(load, known.load(stage), at, known.now_s)
        last[0] = level.summary.e2e_ms.p95 / 1e3 if level.summary.e2e_ms else 0.0
        return level

    def enough(_: float) -> bool:
        spent = time.monotonic() - began
        return known.over or (quest.budget_s is not None and spent + quest.seconds + 2 * last[0] > quest.budget_s)

    quick = quest.budget_s is not None
    return search.explore(
        measure, start=quest.start_rate or 1, most=float("inf") if quest.by_rate else quest.most,
        whole=not quest.by_rate, factor=search.FAST if quick else 2.0, halvings=2 if quick else 5, enough=enough,
    )  # fmt: skip


def concluded(run: Run, levels: Sequence[Level], quest: Quest, *, assumed: bool) -> Run:
    """The run with what the search found. Its figures, and their proof, are those of one level: figures of mixed loads
    say nothing.

    That level is the highest within the objectives, else the lowest that was tried.
    """
    shown = search.most_that_fits(levels) or min(levels, key=lambda one: one.load)
    written = ", ".join(goal.text for goal in shown.summary.goals)
    said = advice.answers(
        levels, serving=run.serving, objectives=written, assumed=assumed,
        by_rate=quest.by_rate,
    )  # fmt: skip
    figures = {name: getattr(shown.summary, name) for name in StageSummary.__dataclass_fields__}
    figures["notes"] = tuple(dict.fromkeys((*shown.summary.notes, *run.summary.notes)))
    figures["proof"] = shown.summary.proof or run.summary.proof
    summary = Summary(**figures, stages=tuple(level.summary for level in levels))
    return replace(run, summary=summary, answers=said, search=_found(levels, run, quest, assumed=assumed))


def _found(levels: Sequence[Level], run: Run, quest: Quest, *, assumed: bool) -> dict[str, Any]:
    fits, knee, good = search.most_that_fits(levels), search.knee(levels), search.best(levels)
    ordered = sorted(levels, key=lambda one: one.load)
    limit, why = advice.limit(ordered, serving=run.serving)
    return {
        "over": "rate" if quest.by_rate else "concurrency", "assumed_slo": assumed,
        "fits": fits.load if fits else None, "knee": knee.load if knee else None,
        "best_goodput": {"load": good.load, "requests_per_s": good.goodput} if good else None,
        "limit": limit, "limit_why": why, "levels": [_level(one) for one in ordered],
    }  # fmt: skip


def _level(level: Level) -> dict[str, Any]:
    figures = level.summary
    times = {
        f"{name}_{statistic}": getattr(spread, statistic)
        for name in ("ttft", "tpot", "itl", "e2e")
        if (spread := getattr(figures, f"{name}_ms"))
        for statistic in ("p50", "p95", "p99")
    }
    return {
        "load": level.load, "fits": level.fits, "why": level.why, "valid": level.valid,
        "tokens_per_s": round(level.throughput, 2),
        "requests_per_s": figures.throughput.requests, "goodput": level.goodput, "ok": figures.requests.ok,
        "failed": figures.requests.failed, **times, "goals": [records.to_json(goal) for goal in figures.goals],
    }  # fmt: skip
