"""Saved runs side by side: our own, and those of other load generators."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmserve.errors import UsageError

__all__ = ["Entry", "entry", "read"]

_MEASURES = ("ttft_ms", "itl_ms", "tpot_ms", "e2e_ms", "queue_ms", "first_token_ms", "latency_ms")
_STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max")
_MOST_BYTES = 256 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run as it is compared and drawn; ``figures`` by names like ``ttft_ms_p99``. What is unknown is missing.

    ``valid`` is None where a tool proves nothing of itself. ``levels`` are those of a search.
    """

    label: str
    tool: str
    model: str = ""
    base_url: str = ""
    engine: str = ""
    started: str = ""
    load: str = ""
    valid: bool | None = None
    reasons: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    timeline: Sequence[Mapping[str, Any]] = ()
    levels: Sequence[Mapping[str, Any]] = ()
    over: str = ""
    goals: Sequence[Mapping[str, Any]] = ()
    answers: Sequence[str] = ()
    by_cause: Mapping[str, int] = field(default_factory=dict)


def read(path: Path) -> list[Entry]:
    """The runs in a file: JSON of ``llmserve bench`` or ``vllm bench serve``, JSON lines of SGLang's benchmark.

    Raises:
        UsageError: it cannot be read, or is none of these.
    """
    from llmserve.bench import importers

    found = []
    for data in _values(path):
        data = data["data"] if isinstance(data.get("data"), dict) and "exit_code" in data else data
        try:
            if str(data.get("schema", "")).startswith("bench-ab-"):
                found += [entry(data[name], f"{path.stem} {name.upper()}") for name in "ab"]
            elif str(data.get("schema", "")).startswith("bench-"):
                found.append(entry(data, path.stem))
            else:
                found.append(importers.foreign(data, path.stem))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{path} is no result of a benchmark that is known.", hint=_HINT) from error
    return found


_HINT = "It reads JSON of `llmserve bench --save` and `vllm bench serve --save-result`, and SGLang's --output-file."


def _values(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is too large for a result.", hint="Rows of requests cannot be compared.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{path} cannot be read: {why}.", hint=_HINT) from error
    try:
        values = [json.loads(text)]
    except ValueError:
        try:
            values = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            values = []
    if not values or not all(isinstance(value, dict) for value in values):
        raise UsageError(f"{path} is no result of a benchmark that is known.", hint=_HINT)
    return values


def entry(data: Mapping[str, Any], label: str = "") -> Entry:
    """One of our runs, out of its published JSON."""
    run, proof = data["run"], data["self"]
    server = run.get("server") or {}
    found = run.get("search") or {}
    return Entry(
        label=label or run["id"], tool=f"llmserve {run['llmserve']}", model=run["model"], base_url=run["base_url"],
        engine=" ".join(str(server[name]) for name in ("engine", "version") if server.get(name)),
        started=run["started"], load=_load(data["load"], run["api"]), valid=proof["valid"], reasons=proof["reasons"],
        figures=_figures(data), curves=run.get("curves") or {}, timeline=run.get("timeline") or (),
        levels=found.get("levels") or (), over=found.get("over", ""), goals=data["goals"],
        answers=run.get("answers") or (), by_cause=data["requests"]["by_cause"],
    )  # fmt: skip


def _figures(data: Mapping[str, Any]) -> dict[str, float]:
    rate, requests, tokens = data["throughput"], data["requests"], data["tokens"]
    figures: dict[str, Any] = {
        "requests_ok": requests["ok"], "requests_failed": requests["failed"], "requests_per_s": rate["requests"],
        "output_tokens_per_s": rate["output_tokens"], "input_tokens": tokens["input"],
        "output_tokens": tokens["output"],
        **(data["run"].get("cost") or {}),
    }  # fmt: skip
    if data["goodput"]:
        figures["goodput_requests_per_s"] = data["goodput"]["requests"]
    for measure in _MEASURES:
        if spread := data[measure]:
            figures |= {f"{measure}_{statistic}": spread[statistic] for statistic in _STATISTICS}
    return {name: float(value) for name, value in figures.items()}


def _load(load: Mapping[str, Any], api: str) -> str:
    if load["kind"] == "closed":
        return f"{api}, {load['concurrency']} at a time"
    cap = f", at most {load['concurrency']} at a time" if load["concurrency"] else ""
    return f"{api}, {load['rate']:g} per second{cap}" if load["rate"] else f"{api}, a trace{cap}"
