"""Distributions of lengths in tokens, as people write them: ``512``, ``uniform:100:900``, ``normal:512:64``."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from llmserve.errors import UsageError

__all__ = ["Lengths", "parse_lengths"]

MOST = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """``first`` and ``second`` are the bounds of uniform, and mean and standard deviation of normal and lognormal."""

    kind: str
    first: float
    second: float = 0.0

    def draw(self, source: random.Random) -> int:
        """One length, 1 or more."""
        if self.kind == "fixed":
            return int(self.first)
        if self.kind == "uniform":
            return source.randint(int(self.first), int(self.second))
        if self.kind == "normal":
            value = source.gauss(self.first, self.second)
        else:
            spread = math.log(1 + (self.second / self.first) ** 2)
            value = source.lognormvariate(math.log(self.first) - spread / 2, math.sqrt(spread))
        return min(max(1, round(value)), MOST)

    @property
    def mean(self) -> float:
        return (self.first + self.second) / 2 if self.kind == "uniform" else self.first

    def __str__(self) -> str:
        if self.kind == "fixed":
            return f"{self.first:g}"
        return f"{self.kind}:{self.first:g}:{self.second:g}"


def parse_lengths(text: str, option: str) -> Lengths:
    """``N``, ``uniform:LOW:HIGH``, ``normal:MEAN:SD``, ``lognormal:MEAN:SD``.

    Raises:
        UsageError: it is none of them.
    """
    kind, *rest = text.split(":") if ":" in text else ("fixed", text)
    try:
        numbers = [float(part) for part in rest]
    except ValueError:
        numbers = []
    wanted = {"fixed": 1, "uniform": 2, "normal": 2, "lognormal": 2}.get(kind)
    good = (
        len(numbers) == wanted
        and all(math.isfinite(n) and 0 <= n <= MOST for n in numbers)
        and numbers[0] >= 1
        and not (kind == "uniform" and numbers[1] < numbers[0])
    )
    if not good:
        hint = f"Use {option} 512, uniform:100:900, normal:512:64 or lognormal:512:300 (tokens)."
        raise UsageError(f"{option} {text!r} is no length.", hint=hint)
    return Lengths(kind=kind, first=numbers[0], second=numbers[1] if len(numbers) > 1 else 0.0)
