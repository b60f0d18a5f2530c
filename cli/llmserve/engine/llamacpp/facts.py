"""Figures that llama.cpp gives: its ``/props`` route, and its log (in MiB, rounded to 0.01)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmserve.engine.base import Facts

_MIB = 1024**2
_WEIGHTS = re.compile(r" model buffer size = +([\d.]+) MiB")
_CACHE = re.compile(r" (?:KV|RS) buffer size = +([\d.]+) MiB")
"""Per device, and per kind of layer; RS holds the states of Mamba and linear attention."""
_TIME = r"^(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) .*"
_LOADING = re.compile(_TIME + r"loading model", re.MULTILINE)
_LOADED = re.compile(_TIME + r"model loaded", re.MULTILINE)


def facts(info: Mapping[str, Any], log: str) -> Facts:
    """``n_ctx`` of ``/props`` is the context of one slot; slots share one cache where ``kv_unified`` is set."""
    settings = info.get("default_generation_settings")
    context = _whole(settings.get("n_ctx")) if isinstance(settings, dict) else None
    slots = _whole(info.get("total_slots"))
    pools = 1 if "kv_unified = 'true'" in log else slots
    return Facts(
        kv_tokens=context * pools if context and pools else None,
        context=context,
        concurrency=slots,
        weight_bytes=_sum(_WEIGHTS, log),
        kv_bytes=_sum(_CACHE, log),
        seconds=_seconds(log),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _sum(pattern: re.Pattern[str], log: str) -> int | None:
    return int(sum(float(size) for size in pattern.findall(log) if size.count(".") < 2) * _MIB) or None


def _seconds(log: str) -> dict[str, float] | None:
    """The lines begin with the time since the start: minutes.seconds.milliseconds.microseconds."""
    begin, end = _LOADING.search(log), _LOADED.search(log)
    return {"load": round(_since_start(end) - _since_start(begin), 3)} if begin and end else None


def _since_start(line: re.Match[str]) -> float:
    minutes, seconds, milliseconds, microseconds = map(int, line.groups())
    return minutes * 60 + seconds + milliseconds / 1e3 + microseconds / 1e6
