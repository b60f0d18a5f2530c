"""The report as one plain record: what ``--json`` prints, files keep, and other runs are compared with.

Its schema is ``templates/schemas/probe-1.json``. Exchanges stand once in ``exchanges``; checks name them by number.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import Any

from llmserve import __version__
from llmserve.probe.exchange import Exchange
from llmserve.probe.report.clients import clients
from llmserve.probe.report.evidence import of_exchange, readable
from llmserve.probe.report.score import areas, drop_in
from llmserve.probe.runner import Outcome
from llmserve.probe.session import Session

__all__ = ["FORMAT", "ORDER", "failures", "report"]

FORMAT = 1
MAX_EVIDENCE = 6
"""Exchanges named by one check; those of a failure are among the last that it looked at."""

ORDER = {"breaks": 0, "feature": 1, "cosmetic": 2}


def report(session: Session, outcomes: Sequence[Outcome], *, took_s: float, complete: bool = True) -> dict[str, Any]:
    """The record of a run; every text in it is free of the endpoint's secrets."""
    evidence = _Evidence(session)
    checks = [_check(outcome, evidence, session) for outcome in outcomes]
    verdicts = Counter(outcome.finding.verdict for outcome in outcomes)
    return {
        "format": FORMAT,
        "llmserve": __version__,
        "endpoint": {
            "base_url": session.endpoint.base_url,
            "model": readable(session.facts.model, session.endpoint),
            "server": readable(_server(session), session.endpoint),
        },
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "took_s": round(took_s, 2),
        "complete": complete,
        "requests": len(session.exchanges),
        "tokens": session.tokens,
        "verdicts": dict(verdicts),
        "drop_in": drop_in(outcomes),
        "areas": areas(outcomes),
        "clients": clients(outcomes),
        "checks": checks,
        "exchanges": evidence.written,
    }


class _Evidence:
    """Exchanges written down once, by number."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._numbers: dict[int, int] = {}
        self._kept: list[Exchange] = []  # so that no id is used twice
        self.written: list[dict[str, Any]] = []

    def number(self, made: Exchange) -> int:
        if id(made) not in self._numbers:
            self._numbers[id(made)] = len(self.written)
            self._kept.append(made)
            self.written.append(of_exchange(made, self._session.endpoint))
        return self._numbers[id(made)]


def _check(outcome: Outcome, evidence: _Evidence, session: Session) -> dict[str, Any]:
    check, finding = outcome.check, outcome.finding
    return {
        "id": check.id, "area": check.area, "title": check.title, "severity": check.severity,
        "verdict": finding.verdict,
        "expected": readable(finding.expected or check.expects, session.endpoint),
        "saw": readable(finding.saw, session.endpoint)[:1000],
        "source": check.source,
        "rows": list(finding.rows or check.rows) if finding.verdict in ("fail", "ignored") else [],
        "evidence": {"exchanges": [evidence.number(made) for made in outcome.exchanges[-MAX_EVIDENCE:]]},
        "took_s": round(outcome.took_s, 3),
    }  # fmt: skip


def _server(session: Session) -> str:
    names = (made.header("server") for made in session.exchanges)
    return next((name for name in names if name), "")


def failures(checks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What failed or was ignored, what matters most first."""
    bad = [check for check in checks if check["verdict"] in ("fail", "ignored")]
    return sorted(bad, key=lambda check: (ORDER[check["severity"]], check["verdict"] != "fail"))
