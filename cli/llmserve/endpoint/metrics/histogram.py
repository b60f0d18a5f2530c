"""Cumulative histograms: their differences, and percentiles by interpolation within a bucket."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Histogram"]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """``bounds`` are the buckets' upper ends, rising, the last one infinite; ``counts`` the observations up to each.

    ``total`` is the sum of all observations, in the unit of the bounds (seconds, where it is a latency).
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float

    @classmethod
    def of(cls, buckets: Mapping[float, float], total: float) -> Histogram | None:
        """From the counts by upper bound; None where there are no buckets. Counts that fall are raised."""
        bounds = tuple(sorted(bound for bound in buckets if not math.isnan(bound)))
        counts, most = [], 0.0
        for bound in bounds:
            most = max(most, buckets[bound])
            counts.append(most)
        return cls(bounds=bounds, counts=tuple(counts), total=total) if bounds else None

    @property
    def count(self) -> float:
        return self.counts[-1]

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def quantile(self, q: float) -> float | None:
        """The value below which the share ``q`` (0 to 1) of the observations lies; None without observations.

        Within a bucket observations are taken as spread evenly, from 0 in the first one. What lies beyond the last
        finite bound is not known better than that: see :meth:`exceeds`.
        """
        if not self.count or not math.isfinite(self.count):
            return None
        rank = q * self.count
        index = bisect.bisect_left(self.counts, max(rank, math.ulp(0.0)))
        below = self.counts[index - 1] if index else 0.0
        lower, upper = (self.bounds[index - 1] if index else 0.0), self.bounds[index]
        if math.isinf(upper):
            return lower if index else None
        if upper <= lower:  # a first bound at or below zero
            return upper
        return lower + (upper - lower) * max(0.0, rank - below) / (self.counts[index] - below)

    def exceeds(self, q: float) -> bool:
        """Whether the quantile lies beyond the last finite bound, so that :meth:`quantile` is a lower limit."""
        finite = [count for bound, count in zip(self.bounds, self.counts, strict=True) if math.isfinite(bound)]
        return bool(self.count) and q * self.count > (finite[-1] if finite else 0.0)

    def since(self, before: Histogram | None) -> Histogram:
        """The observations after ``before``; all, if that one had more, or other buckets: then a server began anew."""
        if before is None or before.bounds != self.bounds or before.count > self.count:
            return self
        counts = tuple(max(0.0, now - then) for now, then in zip(self.counts, before.counts, strict=True))
        return Histogram(bounds=self.bounds, counts=counts, total=max(0.0, self.total - before.total))

    @staticmethod
    def added(histograms: Iterable[Histogram]) -> Histogram | None:
        """Several as one; None without any. Where bounds differ, those that all of them have are kept."""
        parts = list(histograms)
        if not parts:
            return None
        shared = set(parts[0].bounds).intersection(*(part.bounds for part in parts))
        counts = [dict(zip(part.bounds, part.counts, strict=True)) for part in parts]
        buckets = {bound: sum(count[bound] for count in counts) for bound in shared}
        return Histogram.of(buckets, sum(part.total for part in parts))
