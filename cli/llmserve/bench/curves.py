"""A run's distributions and course, small enough to be stored with it and to be drawn later."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

from llmserve.bench.records import Row
from llmserve.bench.stats import percentile

__all__ = ["SHARES", "course"]

SHARES = (*(float(q) for q in range(1, 100)), 99.5, 99.9, 100.0)
POINTS = 120  # of the timeline, at the most
_MEASURES = ("ttft_ms", "tpot_ms", "e2e_ms", "queue_ms")


def course(rows: Iterable[Row]) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
    """``curves``: of each measure the values at SHARES percent. ``timeline``: steps of equal length, of the whole run.

    Each step has its beginning ``at`` in seconds, what ended in it (``ok``, ``failed``, ``tokens``) per second, and the
    median and the highest TTFT of what ended there.
    """
    columns: dict[str, array[float]] = {name: array("d") for name in (*_MEASURES, "itl_ms")}
    ended: list[tuple[float, bool, int, float]] = []
    for row in rows:
        if not row.measured or row.cause == "interrupted":
            continue
        ended.append((row.end_s, row.ok, row.output_tokens if row.ok else 0, row.ttft_ms or 0.0))
        for name in _MEASURES if row.ok else ():
            value = getattr(row, name)
            if value is not None:
                columns[name].append(value)
        if row.ok and row.gaps_ms and len(columns["itl_ms"]) < 500_000:
            columns["itl_ms"].extend(gap / max(k, 1) for gap, k in zip(row.gaps_ms, row.chunk_tokens[1:], strict=False))
    return {name: _curve(values) for name, values in columns.items() if values}, _timeline(ended)


def _curve(values: array[float]) -> list[float]:
    ordered = sorted(values)
    return [round(percentile(ordered, q), 4) for q in SHARES]


def _timeline(ended: list[tuple[float, bool, int, float]]) -> list[dict[str, Any]]:
    if not ended:
        return []
    start, end = min(one[0] for one in ended), max(one[0] for one in ended)
    step = max((end - start) / POINTS, 0.25)
    cells: dict[int, list[tuple[float, bool, int, float]]] = {}
    for one in ended:
        cells.setdefault(int((one[0] - start) / step), []).append(one)
    return [_cell(start + index * step, step, cells.get(index, [])) for index in range(max(cells) + 1)]


def _cell(at: float, step: float, ended: list[tuple[float, bool, int, float]]) -> dict[str, Any]:
    waits = sorted(ttft for _, ok, _, ttft in ended if ok and ttft)
    good = sum(ok for _, ok, _, _ in ended)
    return {
        "at": round(at, 3), "ok": round(good / step, 3), "failed": round((len(ended) - good) / step, 3),
        "tokens": round(sum(tokens for _, _, tokens, _ in ended) / step, 2),
        "ttft_p50": round(percentile(waits, 50), 3) if waits else None,
        "ttft_max": round(waits[-1], 3) if waits else None,
    }  # fmt: skip
