"""Two endpoints in one run, in turns: what drifts (a warm machine, a busy network) meets both alike."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llmserve.bench import search
from llmserve.bench.advice import ms
from llmserve.bench.records import StageSummary
from llmserve.bench.runner import Bench
from llmserve.bench.settings import Stage

__all__ = ["PAIRS", "Pair", "Ratio", "block", "blocks", "ratios", "sentences"]

PAIRS = 8
MEASURES = {
    "output_tokens_per_s": ("output tokens per second", True), "ttft_ms": ("time to first token", False),
    "tpot_ms": ("time per output token", False), "e2e_ms": ("time of a whole answer", False),
}  # fmt: skip
# Student's t, 97.5 %, by degrees of freedom
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09)
_T_MANY = 2.09

Pair = tuple[StageSummary, StageSummary]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """B over A: the geometric mean over pairs of blocks, and its 95 % interval (of Student's t, on logarithms).

    ``low`` and ``high`` are None of fewer than two pairs. ``a`` and ``b`` are the means of the blocks.
    """

    measure: str
    a: float
    b: float
    ratio: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def differs(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high

    @property
    def better(self) -> str:
        """``a``, ``b``, or nothing where the interval holds 1."""
        if not self.differs:
            return ""
        return "b" if (self.ratio > 1) == MEASURES[self.measure][1] else "a"


def block(stage: Stage, pairs: int) -> Stage:
    """A block of ``stage``: its seconds and requests shared out to both endpoints and all pairs."""
    parts = 2 * pairs
    return replace(
        stage, duration_s=stage.duration_s / parts if stage.duration_s else None,
        requests=max(1, stage.requests // parts) if stage.requests else None,
    )  # fmt: skip


def blocks(
    a: Bench, b: Bench, stage: Stage, *, pairs: int, seed: int, begin: Callable[[str, Stage], None] = lambda *_: None
) -> list[Pair]:
    """Load both in turns; which of a pair comes first is drawn by ``seed``. Ends early if either is over."""
    draw = random.Random(seed)  # noqa: S311
    done: list[Pair] = []
    for _ in range(pairs):
        order = [("A", a), ("B", b)]
        draw.shuffle(order)
        found: dict[str, StageSummary] = {}
        for name, known in order:
            if a.over or b.over:
                return done
            begin(name, stage)
            found[name] = known.load(stage)
        done.append((found["A"], found["B"]))
    return done


def ratios(pairs: Sequence[Pair]) -> list[Ratio]:
    """Of each measure that both had in some pair."""
    found = []
    for measure in MEASURES:
        values = [(_value(a, measure), _value(b, measure)) for a, b in pairs]
        good = [(a, b) for a, b in values if a and b]
        if good:
            found.append(_ratio(measure, good))
    return found


def _value(summary: StageSummary, measure: str) -> float:
    if measure == "output_tokens_per_s":
        return search.throughput(summary)
    spread = getattr(summary, measure)
    return float(spread.mean) if spread else 0.0


def _ratio(measure: str, values: Sequence[tuple[float, float]]) -> Ratio:
    logs = [math.log(b / a) for a, b in values]
    n = len(logs)
    mean = math.fsum(logs) / n
    low = high = None
    if n > 1:
        error = math.sqrt(math.fsum((one - mean) ** 2 for one in logs) / (n - 1) / n)
        half = error * (_T[n - 2] if n - 2 < len(_T) else _T_MANY)
        low, high = math.exp(mean - half), math.exp(mean + half)
    return Ratio(
        measure=measure, a=math.fsum(a for a, _ in values) / n, b=math.fsum(b for _, b in values) / n,
        ratio=math.exp(mean), low=low, high=high, pairs=n,
    )  # fmt: skip


def sentences(found: Sequence[Ratio]) -> list[str]:
    """Who is better in what, and by how much; where the interval holds 1, that nothing was seen."""
    said = []
    for one in found:
        label, more_is_better = MEASURES[one.measure]
        show = (lambda value: f"{value:,.1f}") if more_is_better else ms
        values = f"{label}: A {show(one.a)}, B {show(one.b)}"
        if one.low is None or one.high is None:
            said.append(f"{values}; B is {one.ratio:.3f} × A (one pair: no interval).")
            continue
        ratio = f"B is {one.ratio:.3f} × A (95 % interval {one.low:.3f} to {one.high:.3f})"
        verdict = f"{one.better.upper()} is better" if one.better else "no difference was shown"
        said.append(f"{values}; {ratio}: {verdict}.")
    return said
