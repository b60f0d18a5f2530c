"""What SGLang is given less or more of, when memory was missing at its start."""

from __future__ import annotations

import re

from llmserve.engine.ease import Rule, halved

_LOWEST, _HIGHEST = 0.3, 0.95
"""Bounds of --mem-fraction-static: below, another plan is wanted; above, nothing is left for activations."""
_STEP = 0.05


def _enough(before: str | None, said: str) -> str | None:
    """A little more than the least that SGLang asks for, where it says so."""
    least = re.search(r"more than (0\.\d+) is needed", said)
    wanted = float(least[1]) + _STEP / 2 if least else float(before) + _STEP if before else _HIGHEST
    return f"{wanted:.3f}" if round(wanted, 6) <= _HIGHEST else None


def _less(before: str | None, _: str) -> str | None:
    wanted = float(before) - _STEP if before else 0.0
    return f"{wanted:.3f}" if round(wanted, 6) >= _LOWEST else None


def _smaller_graphs(before: str | None, said: str) -> str | None:
    return "16" if before is None else halved(1)(before, said)


_FRACTION = "--mem-fraction-static"

RULES = (
    Rule("no_memory_for_cache", _FRACTION, _enough),
    Rule("no_memory_for_graphs", "--cuda-graph-max-bs-decode", _smaller_graphs),
    # while weights are loaded nothing helps but other weights: the fraction counts only afterwards
    Rule("gpu_out_of_memory", _FRACTION, _less, stages=("kv_cache", "graphs", "warmup")),
    Rule("no_memory_for_state", "--max-running-requests", halved(1)),
    Rule("host_out_of_memory", "--max-total-tokens", halved(512), stages=("load", "kv_cache", "graphs", "warmup")),
)
