"""The report as Markdown, for an issue or a README."""

from __future__ import annotations

from typing import Any

from llmserve.output.text import printable
from llmserve.probe.report.record import failures
from llmserve.probe.report.text import MARKS, cut, headline, request_line

__all__ = ["markdown"]


def markdown(report: dict[str, Any]) -> str:
    """Areas, clients, and every failure with its request, answer, expectation and source."""
    badge = {"yes": "**yes**", "no": "**no**", "unknown": "not judged"}[report["drop_in"]["verdict"]]
    why = f" ({', '.join(_code(one) for one in report['drop_in']['why'])})" if report["drop_in"]["why"] else ""
    first, second = headline(report).split("\n", 1)
    made = f"{second}, {report['made_at'][:10]}, llmserve {report['llmserve']}. Drop-in: {badge}{why}"
    parts = [
        f"### OpenAI compatibility of {_plain(first)}",
        made,
        _areas(report),
        _clients(report),
        *_failures(report),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _areas(report: dict[str, Any]) -> str:
    head = "| area | score | pass | fail | ignored | unsupported | not judged |\n|---|---:|---:|---:|---:|---:|---:|"
    names = ("title", "score", "pass", "fail", "ignored", "unsupported")
    rows = []
    for area in report["areas"]:
        told = area | {"score": "–" if area["score"] is None else f"{area['score']} %"}
        left = area["inconclusive"] + area["skipped"] + area["n/a"]
        rows.append(f"| {' | '.join(str(told[name]) for name in names)} | {left} |")
    return "\n".join([head, *rows])


def _clients(report: dict[str, Any]) -> str:
    rows = []
    for client in report["clients"]:
        why = [f"{_code(one['check'])} {_plain(one['effect'])}" for one in client["why"][:4]]
        rows.append(f"| {client['name']} {client['version']} | {MARKS[client['works']]} | {'; '.join(why)} |")
    return "\n".join(["| client | works | why not |\n|---|---|---|", *rows])


def _failures(report: dict[str, Any]) -> list[str]:
    return [
        f"- {_code(check['id'])} ({check['severity']}, {check['verdict']}): {_plain(check['title'])}\n"
        f"  - sent: {_code(_sent(check, report['exchanges']))}\n"
        f"  - saw: {_code(cut(check['saw'], 300))}\n"
        f"  - expected: {_plain(check['expected'])} ({_plain(check['source'])})"
        for check in failures(report["checks"])
    ]


def _sent(check: dict[str, Any], exchanges: list[dict[str, Any]]) -> str:
    numbers = check["evidence"]["exchanges"]
    return cut(request_line(exchanges[numbers[-1]]["request"]), 300) if numbers else "the whole run"


def _plain(text: str) -> str:
    """Text of strangers that must not become markup."""
    safe = "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|!~" else sign for sign in printable(text))
    return " ".join(safe.split())


def _code(text: str) -> str:
    flat = " ".join(printable(text).split()).replace("|", "¦")
    fence = "``" if "`" in flat else "`"
    return f"{fence} {flat} {fence}" if "`" in flat else f"`{flat}`"
