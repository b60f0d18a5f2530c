"""Figures that a running SGLang gives: its ``/server_info`` route first, then its log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmserve.engine.base import Facts
from llmserve.output.text import GIB

_FIRST_RANK = r"^(?!\[[^\]]*\b(?:DP|PP|TP|EP)[1-9])"
_WEIGHTS = re.compile(_FIRST_RANK + r".*Load weight end.*?mem usage=(-?[\d.]+) GB", re.MULTILINE)
_SUMMARY = re.compile(
    _FIRST_RANK + r".*max_total_num_tokens=(?P<tokens>\d+),.*?max_running_requests=(?P<requests>\d+), "
    r"context_len=(?P<context>\d+)(?:, available_(?:gpu|cpu)_mem=(?P<free>[\d.]+) GB)?",
    re.MULTILINE,
)


def facts(info: Mapping[str, Any], log: str) -> Facts:
    """What one GPU (or the host) holds. SGLang writes "GB" and means GiB, rounded to 0.01.

    ``weight_bytes`` adds up the target and the draft model; ``free_bytes`` is what was left after the start.
    """
    summary = _SUMMARY.search(log)
    words: dict[str, str | None] = summary.groupdict() if summary else {}
    return Facts(
        engine_version=_text(info.get("version")),
        kv_tokens=_whole(info.get("max_total_num_tokens")) or _whole(words.get("tokens")),
        context=_whole(words.get("context")) or _whole(info.get("context_length")),
        concurrency=_whole(info.get("max_running_requests")) or _whole(words.get("requests")),
        weight_bytes=_bytes(sum(float(found) for found in _WEIGHTS.findall(log))),
        free_bytes=_bytes(words.get("free")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return int(value) if str(value).isdecimal() else None


def _bytes(gibibytes: float | str | None) -> int | None:
    """None also for nothing and less: on a CPU the difference of two readings can be negative."""
    size = int(float(gibibytes or 0) * GIB)
    return size if size > 0 else None
