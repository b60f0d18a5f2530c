"""A Grafana dashboard out of the vocabulary of SGLang's metrics, so that its names are the ones that are scraped."""

from __future__ import annotations

from typing import Any

from llmserve.endpoint.metrics.vocabulary import dialect

_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_WIDE, _TALL = 8, 8
_EVERY = "$__rate_interval"
_SHARES = (0.5, 0.95, 0.99)


def board() -> dict[str, Any]:
    """The dashboard's JSON model (Grafana schema version 39): latencies, throughput, queue, KV cache, GPU."""
    panels = [
        _quantiles("Time to first token", "ttft"),
        _quantiles("Inter-token latency", "itl"),
        _quantiles("Request latency", "e2e"),
        _lines("Requests", "short", {"running": _gauge("running"), "waiting": _gauge("queued")}),
        _lines("Tokens per second", "short", {"prompt": _rate("prompt_tokens"), "answers": _rate("generation_tokens")}),
        _lines("KV cache in use", "percentunit", {"used": f"max({dialect('sglang').kv_usage[0].names[0]})"}),
        _lines("Prefix cache hit rate", "percentunit", {"hits": _hit_rate()}),
        _lines("Requests per second", "short", {"requests": _rate("requests")}),
        _lines("GPU (needs the DCGM exporter)", "percent", {"busy": "avg(DCGM_FI_DEV_GPU_UTIL)"}),
    ]
    for number, panel in enumerate(panels):
        place = {"x": number % 3 * _WIDE, "y": number // 3 * _TALL, "w": _WIDE, "h": _TALL}
        panel |= {"id": number + 1, "gridPos": place}
    return {
        "uid": "llmserve", "title": "llmserve: SGLang", "schemaVersion": 39, "refresh": "10s", "editable": True,
        "time": {"from": "now-30m", "to": "now"}, "timezone": "browser", "tags": ["llmserve"], "panels": panels,
    }  # fmt: skip


def metric_names() -> set[str]:
    """The metrics of the engine that the panels read, by the names under which it exposes them."""
    engine = dialect("sglang")
    gauges = {engine.running[0], engine.queued[0], engine.kv_usage[0]}
    counters = {
        engine.counters[name][0] for name in ("prompt_tokens", "generation_tokens", "requests", "cache_queries")
    }
    named = {term.names[0] for term in gauges | counters}
    return named | {f"{engine.histograms[name][0]}_bucket" for name in ("ttft", "itl", "e2e")}


def _gauge(name: str) -> str:
    return f"sum({getattr(dialect('sglang'), name)[0].names[0]})"


def _rate(name: str) -> str:
    return f"sum(rate({dialect('sglang').counters[name][0].names[0]}[{_EVERY}]))"


def _hit_rate() -> str:
    name = dialect("sglang").counters["cache_queries"][0].names[0]
    return f'sum(rate({name}{{mode=~".*_hit"}}[{_EVERY}])) / sum(rate({name}[{_EVERY}]))'


def _quantiles(title: str, name: str) -> dict[str, Any]:
    bucket = f"{dialect('sglang').histograms[name][0]}_bucket"
    wanted = {f"p{share * 100:g}": share for share in _SHARES}
    return _lines(
        title, "s",
        {at: f"histogram_quantile({share:g}, sum by (le) (rate({bucket}[{_EVERY}])))" for at, share in wanted.items()},
    )  # fmt: skip


def _lines(title: str, unit: str, series: dict[str, str]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": query, "legendFormat": name}
        for number, (name, query) in enumerate(series.items())
    ]
    return {
        "type": "timeseries", "title": title, "datasource": _SOURCE, "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    }  # fmt: skip
