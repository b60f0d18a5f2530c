"""The report as one HTML page: self-contained, readable offline, evidence folded. Nothing in it runs or loads."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from llmserve.probe.report.record import ORDER
from llmserve.probe.report.text import MARKS, explained, headline

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c0392b; --warn: #b9770e; --good: #1e8449; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .9rem .2rem 0; text-align: right; }
th:first-child, td:first-child, td.why { text-align: left; } tr + tr td { border-top: 1px solid var(--line); }
details { border-top: 1px solid var(--line); padding: .25rem 0; } summary { cursor: pointer; }
details details { border: 0; margin-left: 1rem; }
pre { overflow: auto; max-height: 28rem; padding: .6rem; background: #8881; font-size: 12.5px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code { font-size: .93em; } .badge { font-weight: 600; } small { opacity: .75; }
.fail, .no { color: var(--bad); } .ignored, .partly { color: var(--warn); } .pass, .yes { color: var(--good); }
.verdict { display: inline-block; min-width: 6.5rem; font-weight: 600; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_BAD = ("fail", "ignored")


def page(report: dict[str, Any]) -> str:
    """The whole document as text. Everything a server said is escaped; the page's policy allows no script at all."""
    title = f"OpenAI compatibility of {report['endpoint']['base_url']}"
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
        f"<h1>{_text(title)}</h1>", _head(report), _areas(report), _clients(report), *_checks(report),
        "</body></html>\n",
    ]  # fmt: skip
    return "\n".join(parts)


def _head(report: dict[str, Any]) -> str:
    first, second = headline(report).split("\n", 1)
    badge = report["drop_in"]
    said = {"yes": "yes", "no": "no", "unknown": "not judged"}[badge["verdict"]]
    why = "".join(f' <a href="#{_text(one)}"><code>{_text(one)}</code></a>' for one in badge["why"])
    return (
        f"<p>{_text(first)}<br><small>{_text(second)}, {_text(report['made_at'])}, llmserve {_text(report['llmserve'])}"
        f'</small></p><p class="badge">Drop-in replacement: <span class="{badge["verdict"]}">{said}</span>{why}</p>'
    )


def _areas(report: dict[str, Any]) -> str:
    names = ("pass", "fail", "ignored", "unsupported")
    rows = []
    for area in report["areas"]:
        left = area["inconclusive"] + area["skipped"] + area["n/a"]
        score = "–" if area["score"] is None else f"{area['score']} %"
        link = f'<a href="#area-{_text(area["id"])}">{_text(area["title"])}</a>'
        cells = "".join(f"<td>{value or '·'}</td>" for value in (*(area[name] for name in names), left))
        rows.append(f"<tr><td>{link}</td><td>{score}</td>{cells}</tr>")
    head = (
        "<th>area</th><th>score</th><th>pass</th><th>fail</th><th>ignored</th><th>unsupported</th><th>not judged</th>"
    )
    return f'<h2>Areas</h2><table id="areas"><tr>{head}</tr>{"".join(rows)}</table>'


def _clients(report: dict[str, Any]) -> str:
    rows = []
    for client in report["clients"]:
        why = "; ".join(f"<code>{_text(one['check'])}</code> {_text(one['effect'])}" for one in client["why"][:5])
        mark = f'<span class="{client["works"]}">{MARKS[client["works"]]}</span>'
        name = f"{client['name']} {client['version']}"
        rows.append(f'<tr><td>{_text(name)}</td><td>{mark}</td><td class="why">{why}</td></tr>')
    return f'<h2>Works with</h2><table id="clients">{"".join(rows)}</table>'


def _checks(report: dict[str, Any]) -> Iterator[str]:
    for area in report["areas"]:
        inside = [check for check in report["checks"] if check["area"] == area["id"]]
        inside.sort(key=lambda check: (check["verdict"] not in _BAD, ORDER[check["severity"]]))
        yield f'<h2 id="area-{_text(area["id"])}">{_text(area["title"])}</h2>'
        yield from (_check(check, report["exchanges"]) for check in inside)


def _check(check: dict[str, Any], exchanges: list[dict[str, Any]]) -> str:
    bad = check["verdict"] in _BAD
    kind = check["verdict"].replace("/", "")
    told = f"<br><small>{_text(check['saw'][:300])}</small>" if bad else ""
    return (
        f'<details id="{_text(check["id"])}"><summary><span class="verdict {kind}">{check["verdict"]}</span>'
        f"<code>{_text(check['id'])}</code> {_text(check['title'])} <small>({check['severity']})</small>"
        f"{told}</summary>"
        f"<pre>{_text(explained(check, exchanges, most=6 if bad else 2))}</pre></details>"
    )


def _text(text: str) -> str:
    return escape(text, quote=True)
