"""How an endpoint's answers look, whatever they say: status, names of headers, keys of JSON, order of stream events."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["of_report"]

_CHANGING = {"date", "content-length", "connection", "keep-alive", "transfer-encoding"}
"""Headers of the connection, which differ between two runs on one server."""
MOST_KEYS = 200


def of_report(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Request -> ``{status, headers, keys, events}`` of its answer, each a sorted list of names (``events`` in order).

    A request is named by method, path below the base URL and a hash of its body, in which the model is left out: the
    same request to another endpoint has the same name. Reports that ship as profiles hold this already (``traits``).
    """
    if "traits" in report:
        return dict(report["traits"])
    base = re.sub(r"^[a-z]+://[^/]+", "", report["endpoint"]["base_url"])
    found = {}
    for made in report["exchanges"]:
        if made["answer"] is not None:
            found[_request(made["request"], base, report["endpoint"]["model"])] = _answer(made["answer"])
    return found


def _request(request: dict[str, Any], base: str, model: str) -> str:
    body, target = request["body"], request["target"].removeprefix(base)
    if model:
        body, target = body.replace(json.dumps(model), '"MODEL"'), target.replace(model, "MODEL")
    return f"{request['method']} {target} {hashlib.sha256(body.encode()).hexdigest()[:12]}"


def _answer(answer: dict[str, Any]) -> dict[str, Any]:
    names = {name.lower() for name, _ in answer["headers"]} - _CHANGING
    streamed = any(
        name.lower() == "content-type" and value.startswith("text/event-stream") for name, value in answer["headers"]
    )
    whole = answer["body_bytes"] == len(answer["body"].encode())
    events = list(_events(answer["body"])) if streamed else []
    return {
        "status": answer["status"],
        "headers": sorted(names),
        "keys": sorted(_keys(answer["body"]))[:MOST_KEYS] if whole and not streamed else [],
        "events": _collapsed(events) if whole else [],
    }


def _keys(body: str) -> set[str]:
    try:
        return set(_paths(json.loads(body), ""))
    except (ValueError, RecursionError):
        return set()


def _paths(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{place}{name}"
            yield from _paths(inner, f"{place}{name}.")
    elif isinstance(value, list) and value:
        yield from _paths(value[0], f"{place[:-1]}[].")


def _events(body: str) -> Iterator[str]:
    """What each event is: the type that it names, else what its delta holds."""
    for line in body.splitlines():
        if line.startswith("data:"):
            yield _kind(line.removeprefix("data:").strip())


def _kind(data: str) -> str:
    if data == "[DONE]":
        return "[DONE]"
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        return "no JSON"
    if not isinstance(chunk, dict):
        return "no object"
    if isinstance(chunk.get("type"), str):
        return str(chunk["type"])
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not choices:
        return "usage" if chunk.get("usage") else "no choice"
    choice = choices[0] if isinstance(choices[0], dict) else {}
    delta = choice.get("delta")
    held = sorted(name for name, value in delta.items() if value) if isinstance(delta, dict) else []
    return "+".join([*held, *(["finish"] if choice.get("finish_reason") else [])]) or "empty"


def _collapsed(events: list[str]) -> list[str]:
    """Runs of the same event count once: how many pieces a text comes in is chance."""
    return [one for at, one in enumerate(events) if at == 0 or events[at - 1] != one]
