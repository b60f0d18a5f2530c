"""How much load an endpoint bears: double it until a bound breaks or nothing is gained, then halve the interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmserve.bench.records import StageSummary

__all__ = ["FAST", "KNEE", "Level", "best", "explore", "judged", "knee", "most_that_fits", "throughput"]

GAIN = 1.05  # a level that brings less is no gain
FLAT = 3  # so many levels without one, and there is nothing more to find
KNEE = 0.9  # of the highest throughput
FAST = 4.0  # the factor of a search that has little time
CLOSE = 1.2  # an interval whose ends differ by less is not halved
FAILURES = 0.01
BEHIND = 0.9  # an open loop that completes less of its rate falls behind


@dataclass(frozen=True, kw_only=True)
class Level:
    """One load that was tried: users at a time, or requests per second. ``why`` says which bound broke.

    ``began`` and ``ended`` are in seconds of the run. Where the client was too slow a level is not ``valid``: its times
    are the client's as much as the server's.
    """

    load: float
    summary: StageSummary
    why: str = ""
    began: float = -math.inf
    ended: float = math.inf

    @property
    def valid(self) -> bool:
        return self.summary.proof is None or self.summary.proof.valid

    @property
    def fits(self) -> bool:
        return not self.why

    @property
    def throughput(self) -> float:
        return throughput(self.summary)

    @property
    def goodput(self) -> float:
        return self.summary.goodput.requests if self.summary.goodput else 0.0


def throughput(summary: StageSummary) -> float:
    """Output tokens per second under full load if that was seen; of embeddings, input tokens."""
    rate = summary.throughput
    return rate.steady_output_tokens or rate.output_tokens or rate.input_tokens


def judged(load: float, summary: StageSummary, began: float = -math.inf, ended: float = math.inf) -> Level:
    """The level, and which bound it breaks: failures, an objective, or the rate itself."""
    return Level(load=load, summary=summary, why=_why(summary), began=began, ended=ended)


def _why(summary: StageSummary) -> str:
    sent = summary.requests.ok + summary.requests.failed
    if not summary.requests.ok:
        return "no request succeeded"
    if summary.requests.failed > FAILURES * sent:
        return f"{summary.requests.failed} of {sent} requests failed"
    missed = [goal.text for goal in summary.goals if not goal.met]
    if missed:
        return f"missed {', '.join(missed)}"
    rate = summary.load.rate
    if rate and sent >= 20 and summary.load.duration_s:
        done = summary.requests.ok / max(summary.seconds, summary.load.duration_s)
        if done < BEHIND * sent / summary.load.duration_s:
            return f"it falls behind: {done:.2f} of {rate:g} requests per second"
    return ""


def explore(
    measure: Callable[[float], Level], *, start: float, most: float, whole: bool, factor: float = 2.0,
    halvings: int = 4,    enough: Callable[[float], bool] = lambda _: False,
) -> list[Level]:  # fmt: skip
    """The levels that were tried, in this order. ``whole`` loads are numbers of users.

    ``enough`` is asked before each further level (with its load), for whoever has no more time.
    """
    levels = _upwards(measure, start, most, factor, enough)
    if not levels[0].fits and not whole:
        levels += _downwards(measure, start, factor, enough)
    for _ in range(halvings):
        load = _between(levels, whole=whole)
        if load is None or enough(load):
            break
        levels.append(measure(load))
    return levels


def _upwards(
    measure: Callable[[float], Level], load: float, most: float, factor: float, enough: Callable[[float], bool]
) -> list[Level]:
    levels: list[Level] = []
    highest, flat = 0.0, 0
    while True:
        level = measure(load)
        levels.append(level)
        flat = 0 if level.throughput > highest * GAIN else flat + 1
        highest = max(highest, level.throughput)
        load = min(most, load * (int(factor) if isinstance(load, int) else factor))
        if not level.fits or flat >= FLAT or level.load >= most or enough(load):
            return levels


def _downwards(
    measure: Callable[[float], Level], load: float, factor: float, enough: Callable[[float], bool]
) -> list[Level]:
    levels: list[Level] = []
    for _ in range(4):
        load /= factor
        if enough(load):
            break
        levels.append(measure(load))
        if levels[-1].fits:
            break
    return levels


def _between(levels: Sequence[Level], *, whole: bool) -> float | None:
    """A load between the highest that fits and the lowest above it that does not."""
    low = most_that_fits(levels)
    above = [level.load for level in levels if low and level.load > low.load]
    if low is None or not above:
        return None
    high = min(above)
    middle = math.sqrt(low.load * high)
    if whole:
        middle = round(middle)
        return middle if low.load < middle < high and high / low.load > CLOSE else None
    return middle if high / low.load > CLOSE else None


def most_that_fits(levels: Sequence[Level]) -> Level | None:
    """The highest load within all bounds below which nothing breaks one."""
    broken = min((level.load for level in levels if not level.fits), default=math.inf)
    return max((one for one in levels if one.fits and one.load < broken), key=lambda one: one.load, default=None)


def best(levels: Sequence[Level]) -> Level | None:
    """The level of the highest goodput."""
    found = max(levels, key=lambda one: one.goodput, default=None)
    return found if found and found.goodput > 0 else None


def knee(levels: Sequence[Level]) -> Level | None:
    """The least load that reaches 90 % of the highest throughput: beyond it there is more waiting than speed."""
    highest = max((level.throughput for level in levels), default=0.0)
    reached = [level for level in levels if highest and level.throughput >= KNEE * highest]
    return min(reached, key=lambda one: one.load, default=None)
