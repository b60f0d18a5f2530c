"""A run as the JSON that is published: ``templates/schemas/bench-1.json``."""

from __future__ import annotations

from typing import Any

from llmserve import records
from llmserve.bench.records import SCHEMA_VERSION, Row, Run

__all__ = ["as_data", "row_data"]


def as_data(run: Run) -> dict[str, Any]:
    """The figures at the top, as people look for them; what the run was beside them."""
    data = records.to_json(run)
    stages = [_figures(stage) for stage in data["summary"].pop("stages")]
    return {"schema": f"bench-{SCHEMA_VERSION}", **_figures(data.pop("summary")), "stages": stages, "run": data}


def _figures(summary: dict[str, Any]) -> dict[str, Any]:
    return {"self" if name == "proof" else name: value for name, value in summary.items()}


def row_data(row: Row) -> dict[str, Any]:
    """One request as a line of JSONL."""
    data = {name: getattr(row, name) for name in Row.__dataclass_fields__}
    shown = {name: round(value, 7) if isinstance(value, float) else value for name, value in data.items()}
    derived = {name: _rounded(getattr(row, name)) for name in ("queue_ms", "ttft_ms", "e2e_ms", "tpot_ms")}
    return {
        **shown, **derived, "ok": row.ok,
        "gaps_ms": [round(gap, 4) for gap in row.gaps_ms],
        "chunk_tokens": [round(k, 3) for k in row.chunk_tokens],
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
