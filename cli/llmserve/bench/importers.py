"""Results of other load generators, read as they write them.

``vllm bench serve --save-result`` (0.32.0) writes one JSON object, ``sglang.benchmark.serving --output-file`` (0.5.23)
a line of JSON for each run. What they do not say (failures in an answer of status 200, their own error) stays unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmserve.bench.compare import Entry

__all__ = ["foreign"]

_STATISTICS = {"mean": "mean", "median": "p50", "p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "max": "max"}
_MEASURES = {"ttft": "ttft_ms", "tpot": "tpot_ms", "itl": "itl_ms", "e2el": "e2e_ms", "e2e_latency": "e2e_ms"}
_PLAIN = {
    "completed": "requests_ok", "failed": "requests_failed", "request_throughput": "requests_per_s",
    "output_throughput": "output_tokens_per_s", "total_input_tokens": "input_tokens",
    "total_output_tokens": "output_tokens",
}  # fmt: skip


def foreign(data: Mapping[str, Any], label: str) -> Entry:
    """One run of SGLang's or vLLM's client.

    Raises:
        ValueError: it is neither.
    """
    if "completed" not in data or "request_throughput" not in data or "mean_ttft_ms" not in data:
        raise ValueError("no result of a known benchmark")
    info = data.get("server_info")
    version = info.get("version") if isinstance(info, Mapping) else None
    return Entry(
        label=label, tool=_tool(data),
        model=str(data.get("model_id") or data.get("model") or (info or {}).get("served_model_name") or ""),
        base_url=str(data.get("base_url") or ""), engine=f"sglang {version}" if version else "",
        started=str(data.get("date") or ""), load=_load(data), figures=_figures(data),
    )  # fmt: skip


def _tool(data: Mapping[str, Any]) -> str:
    if "model_id" in data:
        return "vllm bench serve"
    return "sglang.benchmark, Rust client" if "protocol" in data else "sglang.benchmark.serving"


def _figures(data: Mapping[str, Any]) -> dict[str, float]:
    names = {own: theirs for theirs, own in _PLAIN.items()}
    for theirs, own in _MEASURES.items():
        names |= {f"{own}_{kept}": f"{statistic}_{theirs}_ms" for statistic, kept in _STATISTICS.items()
                  if f"{statistic}_{theirs}_ms" in data}  # fmt: skip
    found = {own: _number(data.get(theirs)) for own, theirs in names.items()}
    return {own: value for own, value in found.items() if value is not None}


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _load(data: Mapping[str, Any]) -> str:
    cap = _number(data.get("max_concurrency"))
    rate = _number(data.get("request_rate"))
    if rate is not None:
        return f"{rate:g} per second" + (f", at most {cap:g} at a time" if cap else "")
    return f"{cap:g} at a time" if cap else "all at once"
