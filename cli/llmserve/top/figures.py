"""The figures of one server as data: what ``--json`` prints and the views draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmserve.endpoint.metrics import Histogram, Sample, Window
from llmserve.top.gpus import Load
from llmserve.top.watched import Watched

__all__ = ["QUANTILES", "gpu", "server"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def server(watched: Watched) -> dict[str, Any]:
    """What is known of a server now; null is what its engine does not tell.

    ``*_s`` are seconds, ``*_per_s`` tokens per second over ``window_s``. ``latency_s`` holds the observations of the
    window, ``latency_since_start_s`` all; ``beyond`` names percentiles that are larger than what is given, as the
    engine's histogram ends there.
    """
    target, sample, window = watched.target, watched.samples[-1] if watched.samples else None, watched.recent
    return {
        "name": target.name,
        "url": target.url,
        "engine": (sample.engine if sample else "") or target.engine,
        "models": list(sample.models) if sample else [],
        "state": target.state or ("unknown" if watched.fault else "answers"),
        "uptime_s": round(target.uptime, 1) if target.uptime is not None else None,
        "gpus": list(target.gpus),
        "error": watched.fault.as_dict() if watched.fault else None,
        "metrics": _metrics(sample, window) if sample and not watched.fault else None,
    }


def _metrics(sample: Sample, window: Window | None) -> dict[str, Any]:
    counters = sample.counters
    rate: Callable[[float | None], float | None] = lambda value: None if value is None else round(value, 2)  # noqa: E731
    return {
        "window_s": round(window.seconds, 3) if window else None,
        "restarted": window.reset if window else False,
        "requests_running": sample.running,
        "requests_queued": sample.queued,
        "requests_total": counters.get("requests"),
        "prompt_tokens_total": counters.get("prompt_tokens"),
        "generation_tokens_total": counters.get("generation_tokens"),
        "prompt_tokens_per_s": rate(window.prompt_rate) if window else None,
        "generation_tokens_per_s": rate(window.generation_rate) if window else None,
        "mean_itl_s": window.mean_itl if window else None,
        "latency_s": {name: _latency(window.histogram(name)) for name in sample.histograms} if window else {},
        "latency_since_start_s": {name: _latency(found) for name, found in sample.histograms.items()},
        "kv_usage": sample.kv_usage,
        "cache_hit_rate": window.cache_hit_rate if window else None,
        "cache_hit_rate_since_start": _share(counters.get("cache_hits"), counters.get("cache_queries")),
        "preemptions_total": counters.get("preemptions"),
    }


def _latency(found: Histogram | None) -> dict[str, Any]:
    if found is None or not found.count:
        return {"count": 0}
    known = {name: found.quantile(q) for name, q in QUANTILES.items()}
    beyond = [name for name, q in QUANTILES.items() if found.exceeds(q)]
    return {"count": found.count, "mean": found.mean, **known, "beyond": beyond}


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def gpu(load: Load) -> dict[str, Any]:
    """A card's load; ``power_w`` in watts, ``utilization`` of 1."""
    return {
        "index": load.index, "uuid": load.uuid, "name": load.name, "memory_used_bytes": load.used_bytes,
        "memory_total_bytes": load.total_bytes, "utilization": load.utilization, "power_w": load.power,
        "power_limit_w": load.power_limit, "temperature_c": load.temperature,
    }  # fmt: skip
