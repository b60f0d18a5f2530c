"""Which clients will work, from the measured table of what each does with each deviation."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from llmserve import paths
from llmserve.probe.report.score import CORE
from llmserve.probe.runner import Outcome

__all__ = ["clients"]


def clients(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """``{id, name, version, works: yes|partly|no|unknown, why: [{check, effect}]}`` for each client of the table.

    ``no`` where it fails at what everybody does, ``partly`` where it fails at less or lacks a feature that it needs,
    ``unknown`` where chat itself could not be tried.
    """
    table = _table()
    tried = any(outcome.check.id == "chat.answers" and outcome.finding.verdict == "pass" for outcome in outcomes)
    return [_judged(client, outcomes, table["rows"], tried) for client in table["clients"]]


def _judged(client: dict[str, Any], outcomes: Sequence[Outcome], rows: dict[str, Any], tried: bool) -> dict[str, Any]:
    why = [*_hurt(client["calls"], outcomes, rows), *_missing(client["requires"], outcomes)]
    works = "yes" if not why else "no" if any(_fatal(one, outcomes) for one in why) else "partly"
    return {
        "id": client["id"], "name": client["name"], "version": client["version"],
        "works": works if tried or why else "unknown", "why": why,
    }  # fmt: skip


def _fatal(one: dict[str, str], outcomes: Sequence[Outcome]) -> bool:
    """Whether the client raises, or is told nonsense, on something that everybody does."""
    check = next(outcome.check for outcome in outcomes if outcome.check.id == one["check"])
    return check.area in CORE and check.severity == "breaks" and "needs it" not in one["effect"]


def _hurt(calls: Sequence[str], outcomes: Sequence[Outcome], rows: dict[str, Any]) -> Iterator[dict[str, str]]:
    for outcome in outcomes:
        if outcome.finding.verdict != "fail":
            continue
        seen = [rows[name]["effects"] for name in outcome.finding.rows or outcome.check.rows if name in rows]
        for call in calls:
            # where the finding does not say which of several deviations it met, only what all of them do is certain
            if seen and all(call in effects for effects in seen):
                place = " (stream(), parse())" if call.endswith(".stream") else ""
                yield {"check": outcome.check.id, "effect": seen[0][call] + place}
                break


def _missing(requires: Sequence[str], outcomes: Sequence[Outcome]) -> Iterator[dict[str, str]]:
    for outcome in outcomes:
        named = any(fnmatchcase(outcome.check.id, pattern) for pattern in requires)
        if named and outcome.finding.verdict not in ("pass", "inconclusive", "skipped"):
            yield {"check": outcome.check.id, "effect": f"needs it ({outcome.finding.verdict})"}


@functools.cache
def _table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((paths.templates_dir() / "probe" / "clients.json").read_text(encoding="utf-8"))
    return loaded
