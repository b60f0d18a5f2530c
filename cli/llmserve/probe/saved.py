"""A run that was cut, kept so that it can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import Check, Finding
from llmserve.probe.exchange import Exchange, Request
from llmserve.probe.report.record import FORMAT
from llmserve.probe.runner import Outcome

__all__ = ["exchanges_of", "forget", "keep", "place", "restored", "with_evidence"]


def place(endpoint: Endpoint) -> Path:
    """Where the cut run with this endpoint and model is kept."""
    name = hashlib.sha256(f"{endpoint.base_url}\n{endpoint.model or ''}".encode()).hexdigest()[:16]
    return paths.state_dir() / "probe" / f"{name}.json"


def keep(report: dict[str, Any], endpoint: Endpoint) -> Path:
    path = place(endpoint)
    paths.private_dir(path.parent)
    paths.write_atomic(path, json.dumps(report))
    return path


def forget(endpoint: Endpoint) -> None:
    place(endpoint).unlink(missing_ok=True)


def restored(endpoint: Endpoint, checks: Sequence[Check]) -> tuple[dict[str, Any] | None, list[Outcome]]:
    """The kept record, and those of its outcomes that need not be found again; (None, []) where there is none."""
    try:
        record = json.loads(place(endpoint).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            return None, []
        by_id = {check.id: check for check in checks}
        found = [one for one in record["checks"] if one["id"] in by_id and one["verdict"] != "skipped"]
        return record, [_outcome(by_id[one["id"]], one) for one in found]
    except (OSError, ValueError, KeyError, TypeError):
        return None, []


def _outcome(check: Check, one: dict[str, Any]) -> Outcome:
    finding = Finding(
        verdict=one["verdict"], saw=str(one["saw"]), expected=str(one["expected"]), rows=tuple(one["rows"])
    )
    return Outcome(check, finding, took_s=float(one["took_s"]))


def exchanges_of(record: dict[str, Any]) -> tuple[Exchange, ...]:
    """The exchanges of a kept record that stand there whole, for checks that look back."""
    return tuple(_exchange(one) for one in record["exchanges"] if _is_whole(one))


def _is_whole(one: dict[str, Any]) -> bool:
    answer = one["answer"]
    sides = (one["request"], answer) if answer and "body_base64" not in answer else ()
    return bool(sides) and all(len(side["body"].encode()) == side["body_bytes"] for side in sides)


def _exchange(one: dict[str, Any]) -> Exchange:
    sent, answer = one["request"], one["answer"]
    headers = tuple((name, value) for name, value in sent["headers"])
    request = Request(method=sent["method"], target=sent["target"], headers=headers, body=sent["body"].encode())
    return Exchange(
        request=request, status=answer["status"], version=answer["version"], body=answer["body"].encode(),
        headers=tuple((name, value) for name, value in answer["headers"]), faults=tuple(one["faults"]),
        arrivals=tuple((at, known) for at, known in answer["arrivals"]), took_s=one["took_s"], error=one["error"],
        detail=one["detail"], attempt=one["attempt"],
    )  # fmt: skip


def with_evidence(report: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """``report`` with the exchanges of the run that it goes on from; that run's requests and tokens are added."""
    offset = len(report["exchanges"])
    known = {one["id"]: one["evidence"]["exchanges"] for one in earlier["checks"]}
    checks = [
        one
        if one["evidence"]["exchanges"] or one["id"] not in known
        else one | {"evidence": {"exchanges": [number + offset for number in known[one["id"]]]}}
        for one in report["checks"]
    ]
    sums = {name: report[name] + earlier[name] for name in ("requests", "tokens", "took_s")}
    return report | sums | {"checks": checks, "exchanges": [*report["exchanges"], *earlier["exchanges"]]}
