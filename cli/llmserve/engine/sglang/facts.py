"""Figures that a running SGLang gives: its ``/server_info`` route, and its log for what that does not tell.

SGLang writes "GB" and means GiB: rounded to 0.01 in the log, to 0.001 in ``internal_states[].memory_usage``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from llmserve.engine.base import Facts
from llmserve.output.text import GIB

_RANK = re.compile(r"\[(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)?\s*((?:(?:[A-Z]+\d+|gpu_id=\d+)\s*)*)\]")


class _Figure(NamedTuple):
    """Lines that hold ``sign`` give the sum of what ``value`` finds in them."""

    name: str
    sign: re.Pattern[str]
    value: re.Pattern[str]


def _figure(name: str, sign: str, value: str) -> _Figure:
    return _Figure(name, re.compile(sign), re.compile(value))


_ELAPSED = r"(?:elapsed=|Time elapsed: )([\d.]+) s"
_LOADED, _CAPTURED = r"Load weight end\.", r"Capture [\w ]{0,60}[Gg]raph end\."
_SUMMARY = r"max_total_num_tokens=\d+, .*max_running_requests="
_FIGURES = (
    _figure("start_seconds", r"Init (?:parallel|torch distributed) ends", _ELAPSED),
    _figure("before_load", r"Load weight begin\.", r"avail mem=([\d.]+) GB"),
    _figure("after_load", _LOADED, r"avail mem=([\d.]+) GB"),
    _figure("weights", _LOADED, r"mem usage=(-?[\d.]+) GB"),
    _figure("load_seconds", _LOADED, _ELAPSED),
    _figure("state_slots", r"Mamba Cache is allocated", r"max_mamba_cache_size: (\d+)"),
    _figure("window_tokens", r"Use sliding window memory pool", r"swa_layer_tokens=(\d+)"),
    _figure("kv_cache", r"KV Cache is allocated\.", r"\b(?:K|V|KV) size: ([\d.]+) GB"),
    _figure("graphs", _CAPTURED, r"mem usage=(-?[\d.]+) GB"),
    _figure("graphs_seconds", _CAPTURED, _ELAPSED),
    _figure("tokens", _SUMMARY, r"max_total_num_tokens=(\d+)"),
    _figure("requests", _SUMMARY, r"max_running_requests=(\d+)"),
    _figure("context", _SUMMARY, r"context_len=(\d+)"),
    _figure("free", _SUMMARY, r"available_(?:gpu|cpu)_mem=([\d.]+) GB"),
)

_TOO_MUCH = 1e15
"""No figure of a server is that large; it also keeps infinity out."""


class _Log:
    """What the log says, as lists of figures per rank in the order of their lines."""

    def __init__(self, text: str) -> None:
        self._figures: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for rank, name, value in _read(text):
            self._figures[name][rank].append(value)

    def firsts(self, name: str) -> list[float]:
        """One figure per rank. A draft model repeats some of them later: the first ones are the target's."""
        return [values[0] for values in self._figures[name].values()]

    def leasts(self, name: str) -> list[float]:
        """One figure per rank. A pool is logged as memory would allow it, and again when the user's cap is smaller."""
        return [min(values) for values in self._figures[name].values()]

    def sums(self, name: str) -> list[float]:
        """One sum per rank: target and draft, pool by pool, graph by graph."""
        return [sum(values) for values in self._figures[name].values()]

    def count(self, name: str) -> int:
        return max((len(values) for values in self._figures[name].values()), default=0)

    def weights(self) -> list[float]:
        """One sum per rank. Before 2025 lines had no "mem usage": there it is the difference of two readings."""
        before, after = self._figures["before_load"], self._figures["after_load"]
        differences = [sum(before[rank]) - sum(after[rank]) for rank in before if len(before[rank]) == len(after[rank])]
        return self.sums("weights") or differences


def _read(text: str) -> Iterator[tuple[str, str, float]]:
    for line in text.splitlines():
        for figure in _FIGURES:
            if figure.sign.search(line) and (found := figure.value.findall(line)):
                prefix = _RANK.match(line)
                yield (prefix[1].strip() if prefix else ""), figure.name, sum(map(_number, found))


def facts(info: Mapping[str, Any], log: str) -> Facts:
    """What one device holds: the tightest rank's memory, the fullest rank's weights and pools.

    Weights, pools and graphs are those of target and draft model together. Where the route and the log both know a
    figure, the route's is taken, which is exact or rounded more finely.
    """
    read, states = _Log(log), _states(info)
    usage = [found for state in states if isinstance(found := state.get("memory_usage"), dict)]
    requests = [_whole(state.get("effective_max_running_requests_per_dp")) or 0 for state in states]
    version = info.get("version")
    return Facts(
        engine_version=version if isinstance(version, str) else None,
        kv_tokens=_whole(info.get("max_total_num_tokens")) or _whole(_least(read.firsts("tokens"))),
        kv_bytes=_positive(_most(read.sums("kv_cache"))) or _positive(_most(_numbers(usage, "kvcache"))),
        context=_whole(_least(read.firsts("context"))) or _whole(info.get("context_length")),
        concurrency=sum(requests) or _requests(info, read),
        weight_bytes=_weights(read, usage),
        before_load_bytes=_positive(_least(read.firsts("before_load"))),
        graph_bytes=_graphs(read, usage),
        free_bytes=_positive(_least(_numbers(usage, "startup_available")) or _least(read.firsts("free"))),
        window_tokens=_whole(_least(_numbers(usage, "token_capacity_swa") or read.leasts("window_tokens"))),
        state_slots=_whole(_least(read.firsts("state_slots"))),
        seconds=_seconds(info, read),
    )


def _states(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One per data-parallel rank."""
    found = info.get("internal_states")
    return [state for state in found if isinstance(state, dict)] if isinstance(found, list) else []


def _requests(info: Mapping[str, Any], read: _Log) -> int | None:
    return _whole(_least(read.firsts("requests"))) or _whole(info.get("max_running_requests"))


def _weights(read: _Log, usage: list[dict[str, Any]]) -> int | None:
    """The route knows the first rank's target model alone, so it decides only where that is all there is."""
    alone = len(read.weights()) <= 1 and read.count("after_load") <= 1
    route = _most(_numbers(usage, "weight")) if alone else None
    return _positive(route) or _positive(_most(read.weights()))


def _graphs(read: _Log, usage: list[dict[str, Any]]) -> int | None:
    route = [_total(graph) for one in usage if isinstance(graph := one.get("graph"), dict)]
    most = _most(route or read.sums("graphs"))
    return None if most is None else max(0, _bytes(most))


def _seconds(info: Mapping[str, Any], read: _Log) -> dict[str, float] | None:
    """Of the slowest rank, by stage."""
    found = info.get("startup_time")
    told: dict[str, Any] = found if isinstance(found, dict) else {}
    graphs = told.get("cuda_graph")
    stages = {
        "start": _most(read.sums("start_seconds")),
        "load": _most(_numbers([told], "load_weight")) or _most(read.sums("load_seconds")),
        "kv_cache": _most(_numbers([told], "kv_cache_allocation")),
        "graphs": (_total(graphs) if isinstance(graphs, dict) else 0) or _most(read.sums("graphs_seconds")),
    }
    return {stage: round(taken, 2) for stage, taken in stages.items() if taken} or None


def _numbers(tables: list[dict[str, Any]], name: str) -> list[float]:
    found = [table.get(name) for table in tables]
    numbers = [value for value in found if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return [float(value) for value in numbers if abs(value) < _TOO_MUCH]


def _total(table: dict[str, Any]) -> float:
    return sum(_numbers([{"value": value} for value in table.values()], "value"))


def _number(text: str) -> float:
    """Figures are read by patterns that also let through what is none, such as "1.2.3": those count as 0."""
    try:
        return value if abs(value := float(text)) < _TOO_MUCH else 0.0
    except ValueError:
        return 0.0


def _least(values: list[float]) -> float | None:
    return min(values, default=None)


def _most(values: list[float]) -> float | None:
    return max(values, default=None)


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and value >= 0 else None
    return int(value) if str(value).isdecimal() else None


def _bytes(gibibytes: float) -> int:
    return int(gibibytes * GIB)


def _positive(gibibytes: float | None) -> int | None:
    """None also for nothing and less: on a CPU the difference of two readings can be negative."""
    return size if gibibytes is not None and (size := _bytes(gibibytes)) > 0 else None
