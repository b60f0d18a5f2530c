"""When requests should be sent: offsets in seconds from the start, on one absolute timeline."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmserve.errors import UsageError

__all__ = ["Arrival", "arrivals", "parse_arrival", "ramp"]


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """How gaps between requests vary. ``cv`` is their standard deviation over their mean.

    0 is a constant rate, 1 a Poisson process; gamma distributed gaps in between and beyond (2 is bursty).
    """

    name: str
    cv: float


def parse_arrival(text: str) -> Arrival:
    """``poisson``, ``constant``, ``gamma:CV`` (or ``gamma:2``, bursty).

    Raises:
        UsageError: it is none of them.
    """
    if text in ("poisson", "constant"):
        return Arrival(name=text, cv=1.0 if text == "poisson" else 0.0)
    match = re.fullmatch(r"gamma:(\d+(?:\.\d+)?)", text)
    if match and 0 < float(match[1]) <= 20:
        return Arrival(name=text, cv=float(match[1]))
    raise UsageError(f"--arrival {text!r} is unknown.", hint="Use poisson, constant, or gamma:CV such as gamma:2.")


def arrivals(rate: float, arrival: Arrival, seed: int) -> Iterator[float]:
    """Endless offsets at ``rate`` per second."""
    gap = _gaps(arrival, random.Random(seed))  # noqa: S311
    now = 0.0
    while True:
        now += next(gap) / rate
        yield now


def ramp(start: float, end: float, seconds: float, arrival: Arrival, seed: int) -> Iterator[float]:
    """Offsets while the rate goes linearly from ``start`` to ``end`` per second; ends after ``seconds``.

    Unit-rate arrivals are mapped through the inverse of the accumulated rate, so any kind of arrival can be ramped.
    """
    gap = _gaps(arrival, random.Random(seed))  # noqa: S311
    slope = (end - start) / seconds
    total = (start + end) / 2 * seconds
    done = 0.0
    while (done := done + next(gap)) < total:
        if abs(slope) < 1e-12:
            yield done / start
        else:
            yield (-start + (start * start + 2 * slope * done) ** 0.5) / slope


def _gaps(arrival: Arrival, draw: random.Random) -> Iterator[float]:
    """Gaps of mean 1."""
    if arrival.cv == 0:
        while True:
            yield 1.0
    shape = 1 / arrival.cv**2
    while True:
        yield draw.expovariate(1.0) if arrival.cv == 1 else draw.gammavariate(shape, 1 / shape)
