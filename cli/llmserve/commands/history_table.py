"""``llmserve plan --history``: what was predicted for earlier starts, and what their engines reported."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from llmserve.output import ledger
from llmserve.output.ledger import Look
from llmserve.output.text import columns, duration, gib
from llmserve.plan.calibration import EXTRA
from llmserve.plan.observation import Observation
from llmserve.records import to_json
from llmserve.result import Result

HEADER = ("WHEN", "MODEL", "ENGINE", "MACHINE", "TP", "KV TOKENS", "OFF BY", "WEIGHTS", "FREE AFTER START", "READY")

_NONE = "No start is on record yet: `llmserve up` adds one when its server is ready."
_READ_AS = "Each figure is predicted → actual, per GPU; the next plans for the same machine, engine and model use them."
_ALTERED = "* Engine flags were added by hand: such starts are shown, and not learnt from."


def table(observations: Iterable[Observation] | None = None, look: Look | None = None) -> Result:
    """All starts, the newest first; those on record unless ``observations`` (oldest first) are given.

    One line each where the ``look`` of the terminal has room for it, else a few lines each.
    """
    if observations is None:
        from llmserve import history

        observations = history.load()
    starts = list(observations)[::-1]
    altered = any(_extra(start) for start in starts)
    return Result(
        data={"starts": [_record(start) for start in starts]},
        human=_human(starts, look) if starts else _NONE,
        quiet="\n".join(_quiet(start) for start in starts),
        messages=((_READ_AS, _ALTERED) if altered else (_READ_AS,)) if starts else (),
    )


def _human(starts: Sequence[Observation], look: Look | None) -> str:
    rows = [_row(start) for start in starts]
    text = columns(HEADER, rows)
    if look is None or max(map(len, text.splitlines())) <= look.width:
        return text
    return "\n".join(line for row in rows for line in _block(row, look))


def _block(row: Sequence[str], look: Look) -> Iterator[str]:
    """One start, its figures below each other."""
    when, model, engine, machine, ranks, tokens, error, weights, free, ready = row
    tp = f", tensor parallel {ranks}" if ranks != "1" else ""
    yield from ledger.folded(f"{when}  {model}, {engine} on {machine}{tp}", look, rest="    ")
    figures = (("KV tokens", f"{tokens} ({error})"), ("weights", weights), ("free after start", free), ("ready", ready))
    yield from ledger.rows(figures, look, indent=4)


def _record(start: Observation) -> dict[str, Any]:
    """The observation with its errors: (actual - predicted) / predicted, None where either is unknown."""
    planned, found = start.predicted, start.measured
    errors = {
        "kv_tokens": off(planned.kv_tokens, found.kv_tokens),
        "kv_bytes": off(planned.kv_bytes, found.kv_bytes),
        "weight_bytes": off(planned.weights_bytes_per_gpu, found.weight_bytes),
        "graph_bytes": off(planned.graph_bytes, found.graph_bytes),
        "before_load_bytes": off(planned.before_load_bytes, found.before_load_bytes),
        "free_bytes": off(planned.free_bytes, found.free_bytes),
    }
    return to_json(start) | {
        "errors": {name: None if error is None else round(error, 6) for name, error in errors.items()}
    }


def off(predicted: int | None, actual: int | None) -> float | None:
    """The error of a prediction as a fraction of it."""
    return None if not predicted or actual is None else actual / predicted - 1


def _row(start: Observation) -> tuple[str, ...]:
    planned, found = start.predicted, start.measured
    error, ready = off(planned.kv_tokens, found.kv_tokens), (found.seconds or {}).get("ready")
    return (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(start.at)),
        start.model + ("*" if _extra(start) else ""),
        f"{start.engine} {start.engine_version}".strip(),
        start.machine,
        str(start.tensor_parallel),
        f"{planned.kv_tokens:,} → {'?' if found.kv_tokens is None else format(found.kv_tokens, ',')}",
        "?" if error is None else f"{error:+.1%}",
        _sizes(planned.weights_bytes_per_gpu, found.weight_bytes),
        _sizes(planned.free_bytes, found.free_bytes),
        "?" if ready is None else duration(ready),
    )


def _sizes(predicted: int | None, actual: int | None) -> str:
    return " → ".join("?" if size is None else gib(size) for size in (predicted, actual))


def _extra(start: Observation) -> str:
    return (start.flags or {}).get(EXTRA, "")


def _quiet(start: Observation) -> str:
    """Model, predicted and actual KV tokens: what a script would draw."""
    return f"{start.model}\t{start.predicted.kv_tokens}\t{start.measured.kv_tokens or ''}"
