"""Servers as lines of text, for a terminal of a given width; without a terminal the same lines are printed once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from llmserve.endpoint.metrics import Histogram, Sample, Window
from llmserve.output.text import duration, gib, printable
from llmserve.top.figures import QUANTILES
from llmserve.top.gpus import Load
from llmserve.top.watched import Watched

__all__ = ["HEADER", "NARROW", "Style", "card", "line", "loads", "spark"]

_LABEL, _VALUE = 12, 34
_SPARK = 48
_STEPS = {True: "▁▂▃▄▅▆▇█", False: "_.-=+*%#"}
_LATENCIES = (("ttft", "TTFT"), ("itl", "ITL"), ("e2e", "whole answer"), ("queue", "waiting"))


class Style:
    """What the terminal can show: its width in columns, and characters beyond ASCII."""

    def __init__(self, width: int, *, unicode: bool = True) -> None:
        self.width, self.unicode = width, unicode

    @property
    def spark(self) -> int:
        """Columns for a history, 0 where there is no room beside the figures."""
        room = self.width - _LABEL - _VALUE - 2
        return min(_SPARK, room) if room >= 8 else 0


def spark(values: Sequence[float | None], width: int, *, unicode: bool = True) -> str:
    """The last ``width`` values as a row of bars from zero to the largest; blanks for what is not known."""
    steps, shown = _STEPS[unicode], list(values)[-width:] if width else []
    most = max((value for value in shown if value is not None), default=0.0)
    if most <= 0:
        return "".join(" " if value is None else steps[0] for value in shown)
    bars = (None if value is None else min(7, math.ceil(max(0.0, value) / most * 7)) for value in shown)
    return "".join(" " if bar is None else steps[bar] for bar in bars)


def card(watched: Watched, style: Style) -> list[str]:
    """One server in full: a heading, and a line for each thing that its engine tells."""
    lines = [heading(watched)]
    if watched.fault:
        return [*lines, *_fault(watched)]
    if watched.samples:
        lines += [_row(label, value, history, style) for label, value, history in _rows(watched)]
    return lines


def heading(watched: Watched) -> str:
    """``tiny  ready 2 min 3 s  llamacpp  http://…``"""
    target = watched.target
    sample = watched.samples[-1] if watched.samples else None
    uptime = duration(target.uptime) if target.uptime is not None else ""
    models = ", ".join(sample.models) if sample and set(sample.models) - {target.name} else ""
    engine = (sample.engine if sample else "") or target.engine
    silent = f"no answer for {duration(watched.silent)}" if watched.silent > 2 else ""
    state = " ".join(word for word in (target.state, uptime) if word)
    words = [target.name, state, silent, models, engine, "" if target.name == target.url else target.url]
    return printable("  ".join(word for word in words if word))


def _fault(watched: Watched) -> list[str]:
    assert watched.fault is not None
    return [f"  {printable(text)}" for text in (watched.fault.message, watched.fault.hint) if text]


def _rows(watched: Watched) -> Iterator[tuple[str, str, list[float | None]]]:
    sample, last, recent, windows = watched.samples[-1], watched.last, watched.recent, watched.windows
    samples = list(watched.samples)
    running = [one.running for one in samples]
    yield "requests", f"{_count(sample.running)} running, {_count(sample.queued)} queued", running
    if "prompt_work" in sample.counters:
        yield "prompt", _rate(last.prompt_rate if last else None), [one.prompt_rate for one in windows]
    if "generation_work" in sample.counters:
        yield "generation", _rate(last.generation_rate if last else None), [one.generation_rate for one in windows]
    for name, label in _LATENCIES:
        if name in sample.histograms:
            yield label, _percentiles(name, recent, sample.histograms[name]), [_p50(one, name) for one in windows]
    if "itl" not in sample.histograms and "decode_seconds" in sample.counters:
        yield "ITL", f"mean {_seconds(recent.mean_itl if recent else None)}", [one.mean_itl for one in windows]
    if sample.kv_usage is not None:
        yield "KV cache", f"{sample.kv_usage:.0%} in use", [one.kv_usage for one in samples]
    if "cache_queries" in sample.counters and "cache_hits" in sample.counters:
        yield "prefix cache", _hits(recent, sample.counters), [one.cache_hit_rate for one in windows]
    if sample.counters.get("preemptions"):
        yield "preempted", f"{sample.counters['preemptions']:,.0f} times for lack of KV cache", []
    if recent and recent.reset:
        yield "restarted", "the server began anew meanwhile", []


def _row(label: str, value: str, history: Sequence[float | None], style: Style) -> str:
    drawn = spark(history, style.spark, unicode=style.unicode) if style.spark else ""
    return f"  {label:<{_LABEL}} {value:<{_VALUE}} {drawn}".rstrip()


def _p50(window: Window, name: str) -> float | None:
    found = window.histogram(name)
    return found.quantile(0.5) if found else None


def _percentiles(name: str, recent: Window | None, whole: Histogram) -> str:
    """Of the last minute; of all requests where there was none in it, and then it is said."""
    found = recent.histogram(name) if recent else None
    old = found is None or not found.count
    found = whole if old else found
    if found is None or not found.count:
        return "no request yet"
    texts = (f"{'>' if found.exceeds(q) else ''}{_seconds(found.quantile(q))}" for q in QUANTILES.values())
    return " / ".join(texts) + (" so far" if old else "")


def _hits(recent: Window | None, counters: Mapping[str, float]) -> str:
    rate = recent.cache_hit_rate if recent else None
    if rate is not None:
        return f"{rate:.0%} of prompt tokens"
    hits, queries = counters["cache_hits"], counters["cache_queries"]
    return f"{hits / queries:.0%} of prompt tokens so far" if queries else "no request yet"


def _count(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f} tokens/s" if value >= 10 or value == 0 else f"{value:.1f} tokens/s"


def _seconds(value: float | None) -> str:
    """Three digits of what people compare: milliseconds below a second."""
    if value is None:
        return "-"
    if value < 0.01:
        return f"{value * 1e3:.2f} ms"
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


HEADER = ("NAME", "RUNNING", "QUEUED", "PROMPT/S", "TOKENS/S", "TTFT P50", "ITL P50", "KV", "STATE")
NARROW = ("NAME", "RUNNING", "TOKENS/S", "STATE")


def line(watched: Watched) -> tuple[str, ...]:
    """One server in one line, as columns below :data:`HEADER`."""
    target, last, recent = watched.target, watched.last, watched.recent
    sample = watched.samples[-1] if watched.samples else None
    if watched.fault or sample is None:
        why = watched.fault.code.replace("_", " ") if watched.fault else "..."
        return (target.name, *["-"] * 7, f"{target.state}: {why}" if target.state else why)

    rates = [f"{rate:,.0f}" if rate is not None else "-" for rate in (
        last.prompt_rate if last else None, last.generation_rate if last else None)]  # fmt: skip
    usage = f"{sample.kv_usage:.0%}" if sample.kv_usage is not None else "-"
    counts = (_count(sample.running), _count(sample.queued))
    ttft, itl = _median(sample, recent, "ttft"), _median(sample, recent, "itl")
    return (target.name, *counts, *rates, ttft, itl, usage, target.state or "answers")


def _median(sample: Sample, recent: Window | None, name: str) -> str:
    whole = sample.histograms.get(name)
    if whole is None:
        return _seconds(recent.mean_itl if recent and name == "itl" else None)
    found = recent.histogram(name) if recent else None
    return _seconds((found if found and found.count else whole).quantile(0.5))


def loads(gpus: Sequence[Load], style: Style) -> list[str]:
    """A line for each GPU."""
    return [_load(gpu, style) for gpu in gpus]


def _load(gpu: Load, style: Style) -> str:
    memory = (
        f"{gib(gpu.used_bytes)} of {gib(gpu.total_bytes)}" if gpu.used_bytes is not None and gpu.total_bytes else ""
    )
    busy = f"{gpu.utilization:.0%} busy" if gpu.utilization is not None else ""
    limit = f" of {gpu.power_limit:.0f} W" if gpu.power_limit else " W"
    power = f"{gpu.power:.0f}{limit}" if gpu.power is not None else ""
    heat = f"{gpu.temperature} {'°' * style.unicode}C" if gpu.temperature is not None else ""
    facts = ", ".join(fact for fact in (memory, busy, power, heat) if fact)
    name = f"GPU {gpu.index}" if style.width < 90 else f"GPU {gpu.index} {printable(gpu.name)}"
    return f"{name}  {facts or 'tells nothing'}"
