"""What changes for the clients of one endpoint that move to another: two reports side by side."""

from __future__ import annotations

from collections import Counter
from typing import Any

from llmserve.output.text import columns
from llmserve.probe.report import traits
from llmserve.probe.report.record import ORDER

__all__ = ["compare", "shown"]

_WORTH = {"fail": 0, "ignored": 1, "unsupported": 2, "pass": 3}
"""Verdicts that say something about the API; the others are not compared."""
MOST = 12


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """``{from, to, better, worse, unknown, different}`` for clients that move from ``before`` to ``after``.

    ``better`` and ``worse`` are checks, what matters most first, as ``{id, area, title, severity, from, to, saw}``.
    ``unknown`` counts checks that one of the two did not judge. ``different`` are names that answers to the same
    requests have on one side alone: ``{what, name, side, requests}``; ``what`` is ``status``, ``header``, ``key`` or
    ``events``.
    """
    old = {check["id"]: check for check in before["checks"]}
    both = [(old[check["id"]], check) for check in after["checks"] if check["id"] in old]
    judged = [(a, b) for a, b in both if a["verdict"] in _WORTH and b["verdict"] in _WORTH]
    moved = [(a, b, _WORTH[b["verdict"]] - _WORTH[a["verdict"]]) for a, b in judged]
    return {
        "from": before["endpoint"],
        "to": after["endpoint"],
        "better": _sorted([_change(a, b) for a, b, step in moved if step > 0]),
        "worse": _sorted([_change(a, b) for a, b, step in moved if step < 0]),
        "same": sum(step == 0 for *_, step in moved),
        "unknown": len(before["checks"]) + len(after["checks"]) - len(both) - len(judged),
        "different": _different(traits.of_report(before), traits.of_report(after)),
    }


def _change(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    named = {name: b[name] for name in ("id", "area", "title", "severity")}
    return {**named, "from": a["verdict"], "to": b["verdict"], "saw": b["saw"]}


def _sorted(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(changes, key=lambda change: (ORDER[change["severity"]], change["area"], change["id"]))


def _different(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Names that one side alone has, with the number of requests; counted where both answered with the same status."""
    found: Counter[tuple[str, str, str]] = Counter()
    for request in before.keys() & after.keys():
        a, b = before[request], after[request]
        if a["status"] != b["status"]:
            found["status", f"{a['status']} -> {b['status']}", "both"] += 1
            continue
        for what in ("headers", "keys"):
            found.update((what[:-1], name, "from") for name in set(a[what]) - set(b[what]))
            found.update((what[:-1], name, "to") for name in set(b[what]) - set(a[what]))
        if a["events"] != b["events"] and a["events"] and b["events"]:
            found["events", f"{' > '.join(a['events'])}  ->  {' > '.join(b['events'])}", "both"] += 1
    return [
        {"what": what, "name": name, "side": side, "requests": count}
        for (what, name, side), count in sorted(found.items(), key=lambda item: (item[0][0], -item[1], item[0]))
    ]


def shown(change: dict[str, Any]) -> str:
    """For a person: what gets worse first."""
    worse, better = change["worse"], change["better"]
    title = f"From {_named(change['from'])} to {_named(change['to'])}"
    counts = (
        f"{len(worse)} checks get worse, {len(better)} better, {change['same']} stay, {change['unknown']} not judged"
    )
    parts = [f"{title}: {counts}."]
    for word, changes in (("Worse", worse), ("Better", better)):
        if changes:
            rows = [
                (f"{one['from']} → {one['to']}", one["severity"], one["id"], one["title"]) for one in changes[:MOST]
            ]
            more = f"\n… and {len(changes) - MOST} more (--json has all)" if len(changes) > MOST else ""
            parts.append(f"{columns((word.upper(), 'SEVERITY', 'CHECK', 'WHAT'), rows)}{more}")
    return "\n\n".join([*parts, *_bytes(change["different"])])


def _named(endpoint: dict[str, Any]) -> str:
    server = f" ({endpoint['server']})" if endpoint.get("server") else ""
    return f"{endpoint['base_url']}{server}"


_SIDES = {"from": "gone", "to": "new", "both": "changed"}


def _bytes(different: list[dict[str, Any]]) -> list[str]:
    if not different:
        return []
    by_kind = {
        what: [one for one in different if one["what"] == what] for what in ("status", "header", "key", "events")
    }
    rows = [
        (what, _SIDES[one["side"]], one["name"][:90], str(one["requests"]))
        for what, ones in by_kind.items()
        for one in ones[:MOST]
    ]
    return [columns(("DIFFERENT BYTES", "", "NAME", "REQUESTS"), rows)]
