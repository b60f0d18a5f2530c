"""From a page of ``/metrics`` to a :class:`~llmserve.endpoint.metrics.sample.Sample`."""

from __future__ import annotations

import fnmatch
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from llmserve.endpoint.metrics.exposition import Series, parse
from llmserve.endpoint.metrics.histogram import Histogram
from llmserve.endpoint.metrics.sample import Sample
from llmserve.endpoint.metrics.vocabulary import ENGINES, Dialect, Term, Terms

__all__ = ["UnknownMetricsError", "read"]

_WORK = {"prompt_work": "prompt_tokens", "generation_work": "generation_tokens"}
_Key = tuple[tuple[str, str], ...]


class UnknownMetricsError(ValueError):
    """The page is sound, and none of the engines of the vocabulary wrote it."""


def read(text: str, at: float) -> Sample:
    """The page ``text``, fetched ``at`` (seconds of a clock that only rises).

    Raises:
        UnknownMetricsError: no engine of the vocabulary wrote it.
        ValueError: it is no page of metrics at all.
    """
    page = _Page(parse(text))
    dialect = next((one for one in ENGINES if any(name.startswith(one.prefix) for name in page.names)), None)
    if dialect is None:
        raise UnknownMetricsError("metrics of no engine that llmserve knows")
    counters = {
        name: value
        for name, terms in dialect.counters.items()
        if (value := page.total(terms, dialect, sum)) is not None
    }
    for work, counted in _WORK.items():
        if work not in counters and counted in counters:
            counters[work] = counters[counted]
    histograms = ((name, page.histogram(names, dialect)) for name, names in dialect.histograms.items())
    return Sample(
        engine=dialect.name,
        at=at,
        models=page.models(dialect.prefix),
        running=page.total(dialect.running, dialect, sum),
        queued=page.total(dialect.queued, dialect, sum),
        kv_usage=page.total(dialect.kv_usage, dialect, _mean),
        counters=counters,
        histograms={name: found for name, found in histograms if found},
        started=page.first("process_start_time_seconds"),
    )


class _Page:
    def __init__(self, series: Iterable[Series]) -> None:
        self.names: dict[str, list[Series]] = defaultdict(list)
        for one in series:
            self.names[one.name].append(one)

    def first(self, name: str) -> float | None:
        return next((one.value for one in self.names.get(name, ())), None)

    def models(self, prefix: str) -> tuple[str, ...]:
        all_series = (one for name, group in self.names.items() if name.startswith(prefix) for one in group)
        return tuple(dict.fromkeys(one.labels["model_name"] for one in all_series if one.labels.get("model_name")))

    def total(self, terms: Terms, dialect: Dialect, over: Callable[[Sequence[float]], float]) -> float | None:
        values = [value for term in terms if (value := self._value(term, dialect, over)) is not None]
        return sum(values) if values else None

    def _value(self, term: Term, dialect: Dialect, over: Callable[[Sequence[float]], float]) -> float | None:
        chosen = _without_shares(self._chosen(term))
        groups = _grouped(chosen, dialect.copies)
        values = [max(one.value for one in group) for group in groups if not any(math.isnan(o.value) for o in group)]
        if not values:
            return None
        factor = self.first(term.times) if term.times else 1.0
        return over(values) * factor if factor is not None else None

    def _chosen(self, term: Term) -> list[Series]:
        series = next((self.names[name] for name in term.names if name in self.names), [])
        return [one for one in series if not term.key or fnmatch.fnmatchcase(one.labels.get(term.key, ""), term.like)]

    def histogram(self, names: Sequence[str], dialect: Dialect) -> Histogram | None:
        name = next((name for name in names if f"{name}_bucket" in self.names), None)
        if name is None:
            return None
        groups = _grouped(self.names[f"{name}_bucket"], (*dialect.copies, "le"))
        sums = {_key(one, dialect.copies): one.value for one in self.names.get(f"{name}_sum", ())}
        parts = [_histogram(group, sums.get(_key(group[0], (*dialect.copies, "le")), 0.0)) for group in groups]
        return Histogram.added(part for part in parts if part)


def _histogram(group: Sequence[Series], total: float) -> Histogram | None:
    buckets: dict[float, float] = {}
    for one in group:
        bound = float(one.labels.get("le", "nan"))
        buckets[bound] = max(one.value, buckets.get(bound, 0.0))
    return Histogram.of(buckets, total)


def _without_shares(series: list[Series]) -> list[Series]:
    """With priorities SGLang tells a gauge in all (an empty label) and again by priority: the first is enough."""
    return [one for one in series if one.labels.get("priority") == ""] or series


def _grouped(series: Iterable[Series], copies: Sequence[str]) -> list[list[Series]]:
    groups: dict[_Key, list[Series]] = defaultdict(list)
    for one in series:
        groups[_key(one, copies)].append(one)
    return list(groups.values())


def _key(series: Series, without: Sequence[str]) -> _Key:
    return tuple(sorted(pair for pair in series.labels.items() if pair[0] not in without))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
