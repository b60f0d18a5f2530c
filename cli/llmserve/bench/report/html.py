"""Runs as one HTML page that needs nothing else: figures as a table, plots that answer to the pointer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from llmserve import paths
from llmserve.bench.compare import Entry
from llmserve.bench.curves import SHARES

__all__ = ["page"]


def page(entries: Sequence[Entry]) -> str:
    """The whole document. What servers said stands in it as data and as escaped text only, never as markup.

    Its policy allows the one script of the page (by its hash) and no request.
    """
    folder = paths.templates_dir() / "bench"
    script = (folder / "report.js").read_text(encoding="utf-8")
    style = (folder / "report.css").read_text(encoding="utf-8")
    title = f"Benchmark of {', '.join(dict.fromkeys(one.model or one.label for one in entries))}"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_hash(script)}'"
    body = "".join([_head(entries), _table(entries), '<div id="plots"></div>'])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head><body>'
        f"<h1>{escape(title)}</h1>{body}"
        f'<script type="application/json" id="data">{_data(entries)}</script><script>{script}</script></body></html>\n'
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data(entries: Sequence[Entry]) -> str:
    data: dict[str, Any] = {"shares": SHARES, "runs": [asdict(one) for one in entries]}
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _head(entries: Sequence[Entry]) -> str:
    parts = []
    for one in entries:
        verdict = "" if one.valid is None else "Valid. " if one.valid else f"INVALID: {'; '.join(one.reasons)}. "
        facts = ", ".join(filter(None, (one.base_url, one.engine, one.load, one.started, one.tool)))
        said = "".join(f"<li>{escape(sentence)}</li>" for sentence in one.answers)
        failed = ", ".join(f"{count} × {cause}" for cause, count in one.by_cause.items())
        parts.append(
            f"<section><h2>{escape(one.label)}</h2><p>{escape(facts)}</p>"
            f'<p class="{"bad" if one.valid is False else "good"}">{escape(verdict)}</p>'
            + (f"<p>Failures: {escape(failed)}</p>" if failed else "")
            + (f"<ul>{said}</ul>" if said else "")
            + "</section>"
        )
    return "".join(parts)


def _table(entries: Sequence[Entry]) -> str:
    from llmserve.output.bench_search import ROWS, cell, ratio

    head = "".join(f"<th>{escape(one.label)}</th>" for one in entries)
    rows = []
    for name, title in ROWS:
        if not any(name in one.figures for one in entries):
            continue
        cells = "".join(
            f"<td>{escape(cell(one, name))}"
            + (f" <small>{escape(ratio(entries[0].figures.get(name), one.figures.get(name)))}</small>" if at else "")
            + "</td>"
            for at, one in enumerate(entries)
        )
        rows.append(f"<tr><th>{escape(title)}</th>{cells}</tr>")
    return f'<table id="figures"><tr><th></th>{head}</tr>{"".join(rows)}</table>'
