"""A run as the JSON that is published: ``templates/schemas/bench-1.json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmserve import records
from llmserve.bench.records import SCHEMA_VERSION, Row, Run, StageSummary

__all__ = ["as_data", "row_data"]


def as_data(run: Run) -> dict[str, Any]:
    """The figures at the top, as people look for them; what the run was beside them."""
    data = records.to_json(run)
    summary = data.pop("summary")
    return {"schema": f"bench-{SCHEMA_VERSION}", **summary, "self": summary.pop("proof"), "run": data} | {
        "stages": [records.to_json(stage) for stage in run.summary.stages]
    }


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


def stages(run: Run) -> Iterator[StageSummary]:
    return iter(run.summary.stages or (run.summary,))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
