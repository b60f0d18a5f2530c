"""Scores of areas, and the badge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from llmserve.probe.check import AREAS
from llmserve.probe.checks import catalogue
from llmserve.probe.runner import Outcome

__all__ = ["CORE", "areas", "drop_in", "score"]

WEIGHT = {"breaks": 10, "feature": 3, "cosmetic": 1}
CORE = ("transport", "auth", "models", "errors", "chat", "messages", "streaming", "sdk")
"""The areas that a drop-in replacement must have without a failure that breaks clients."""
COUNTED = ("pass", "fail", "ignored", "unsupported", "inconclusive", "skipped", "n/a")


def areas(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Each area that was looked at: ``{id, title, score, pass, fail, ignored, …}``."""
    rows = []
    for name, title in AREAS.items():
        inside = [outcome for outcome in outcomes if outcome.check.area == name]
        if inside:
            counts = Counter[str](outcome.finding.verdict for outcome in inside)
            rows.append({"id": name, "title": title, "score": score(inside), **{key: counts[key] for key in COUNTED}})
    return rows


def score(outcomes: Sequence[Outcome]) -> int | None:
    """0 to 100, by weight: 10 for what breaks clients, 3 for a feature, 1 for the rest. A feature said to be missing
    counts half. What could not be judged counts nothing; None where nothing could be."""
    got = most = 0.0
    for outcome in outcomes:
        weight, verdict = WEIGHT[outcome.check.severity], outcome.finding.verdict
        if verdict in ("pass", "fail", "ignored", "unsupported"):
            most += weight
            got += weight if verdict == "pass" else weight / 2 if verdict == "unsupported" else 0
    return None if not most else min(100 if got == most else 99, round(100 * got / most))


def drop_in(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """``{verdict: yes|no|unknown, why: [ids], looked_at, of}``: no failure that breaks clients in ``CORE``.

    ``of`` is how many checks decide that, ``looked_at`` how many of them were made: a quick run can say no, never yes.
    """
    deciding = {check.id for check in catalogue() if check.area in CORE and check.severity == "breaks"}
    core = [outcome for outcome in outcomes if outcome.check.id in deciding]
    broken = [outcome.check.id for outcome in core if outcome.finding.verdict in ("fail", "ignored", "unsupported")]
    open_ = [outcome.check.id for outcome in core if outcome.finding.verdict == "skipped"]
    counts = {"looked_at": len(core), "of": len(deciding)}
    if broken:
        return {"verdict": "no", "why": broken, **counts}
    if open_ or len(core) < len(deciding):
        return {"verdict": "unknown", "why": open_, **counts}
    return {"verdict": "yes", "why": [], **counts}
