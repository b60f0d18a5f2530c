"""Percentiles and their intervals, in plain Python."""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from llmserve.bench.records import Spread

__all__ = ["PERCENTILES", "clustered", "counted", "percentile", "spread", "weighted"]

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
RESAMPLES = 400
MOST_DRAWS = 200_000
ALPHA = 0.05


def percentile(ordered: Sequence[float], q: float) -> float:
    """The smallest value that ``q`` percent of the sample do not exceed (nearest rank): always one that was seen."""
    return ordered[max(0, math.ceil(q / 100 * len(ordered) - 1e-9) - 1)]


def spread(values: Iterable[float], *, more: Sequence[float] = (), intervals: bool = True) -> Spread | None:
    """The distribution of one figure per request; None of no values.

    The interval of a percentile is that of the bootstrap in its exact form: a resample's order statistic is binomial,
    so no resampling is needed. The mean's is resampled.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    found = {q: percentile(ordered, q) for q in (*PERCENTILES, *more)}
    ci: dict[str, tuple[float, float]] = {}
    if intervals and len(ordered) >= 10:
        ci = {f"p{q:g}": _quantile_interval(ordered, q / 100) for q in found}
        ci["mean"] = _mean_interval(ordered)
    return _made(len(ordered), math.fsum(ordered) / len(ordered), ordered[-1], found, more, ci)


def clustered(values: array[float], sizes: Sequence[int], *, more: Sequence[float] = ()) -> Spread | None:
    """The distribution of figures of which each request has several, pooled. The bootstrap draws whole requests.

    ``values`` are those of the first request, the second and so on, ``sizes`` how many each has.
    """
    if not values:
        return None
    ordered = array(values.typecode, sorted(values))
    found = {q: percentile(ordered, q) for q in (*PERCENTILES, *more)}
    ci = {}
    if len(sizes) >= 10:
        ci = {f"p{q:g}": _pooled_interval(values, sizes, ordered, q / 100, value) for q, value in found.items()}
    return _made(len(ordered), math.fsum(ordered) / len(ordered), ordered[-1], found, more, ci)


def counted(weights: Sequence[tuple[float, int]], *, total: float, largest: float) -> Spread | None:
    """The distribution of values that were counted in steps: (middle of the step, how many), in their order."""
    if not weights:
        return None
    number = sum(count for _, count in weights)
    sums = list(accumulate(count for _, count in weights))
    found = {q: weights[bisect_left(sums, q / 100 * number - 1e-9)][0] for q in PERCENTILES}
    found = {q: min(value, max(largest, 0.0)) for q, value in found.items()}
    return _made(number, max(total, 0.0) / number, max(largest, 0.0), found, (), {})


def weighted(pairs: Iterable[tuple[float, float]], *, more: Sequence[float] = ()) -> Spread | None:
    """The distribution of values of which each counts ``weight`` times: (value, weight). No interval."""
    ordered = sorted(pair for pair in pairs if pair[1] > 0)
    if not ordered:
        return None
    sums = list(accumulate(weight for _, weight in ordered))
    found = {}
    at = 0
    for q in sorted((*PERCENTILES, *more)):
        while at < len(sums) - 1 and sums[at] < q / 100 * sums[-1] - 1e-9:
            at += 1
        found[q] = ordered[at][0]
    mean = math.fsum(value * weight for value, weight in ordered) / sums[-1]
    return _made(round(sums[-1]), mean, ordered[-1][0], found, more, {})


def _made(
    count: int, mean: float, largest: float, found: dict[float, float], more: Sequence[float],
    ci: dict[str, tuple[float, float]],
) -> Spread:  # fmt: skip
    rounded = {name: (_r(low), _r(high)) for name, (low, high) in ci.items()}
    return Spread(
        count=count, mean=_r(mean), p50=_r(found[50]), p90=_r(found[90]), p95=_r(found[95]), p99=_r(found[99]),
        max=_r(largest), more={f"p{q:g}": _r(found[q]) for q in more}, ci95=rounded,
    )  # fmt: skip


def _r(value: float) -> float:
    return round(value, 4)


def _quantile_interval(ordered: Sequence[float], q: float) -> tuple[float, float]:
    """Order statistics at the binomial's 2.5 % and 97.5 % points (normal approximation, clamped to the sample)."""
    n = len(ordered)
    half = 1.96 * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - half), math.ceil(n * q + half)
    return ordered[min(max(low, 0), n - 1)], ordered[min(max(high, 0), n - 1)]


def _mean_interval(values: Sequence[float]) -> tuple[float, float]:
    n = len(values)
    if n * RESAMPLES > MOST_DRAWS:  # the mean of many is normal: nothing is left to resample
        mean = math.fsum(values) / n
        half = 1.96 * math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
        return mean - half, mean + half
    draw = random.Random(0).choices  # noqa: S311 - a bootstrap, the same each time
    means = sorted(math.fsum(draw(values, k=n)) / n for _ in range(RESAMPLES))
    return percentile(means, 100 * ALPHA / 2), percentile(means, 100 - 100 * ALPHA / 2)


def _pooled_interval(
    values: Sequence[float], sizes: Sequence[int], ordered: Sequence[float], q: float, value: float
) -> tuple[float, float]:
    """How far the share below ``value`` varies when requests are drawn anew, turned back into values."""
    share = bisect_right(ordered, value) / len(ordered)
    squares, at = 0.0, 0
    for size in sizes:
        below = sum(map(value.__ge__, values[at : at + size]))
        squares += (below - share * size) ** 2
        at += size
    n = sum(1 for size in sizes if size)
    variance = squares / max(1, n - 1) * n / len(ordered) ** 2
    half = 1.96 * math.sqrt(variance)
    return percentile(ordered, 100 * max(0.0, q - half)), percentile(ordered, 100 * min(1.0, q + half))
