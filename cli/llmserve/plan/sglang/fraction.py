"""The static fraction of a layout: fixed, left to the engine, or solved from the slack that must stay."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.hardware.machine import Gpu
from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.pins import Pins
from llmserve.plan.sglang import default_fraction, rules
from llmserve.plan.sglang.memory import Tier

_MOST = 0.98


@dataclass(frozen=True, kw_only=True)
class Fraction:
    """``asked`` goes to the engine, which multiplies it by ``derating``. ``between``: what else it may be if it is a
    guess. ``solved`` says that it follows from the slack."""

    asked: float
    derating: float = 1.0
    between: tuple[float, float] | None = None
    solved: bool = False

    @property
    def value(self) -> float:
        """The fraction in force."""
        return self.asked * self.derating


def chosen(
    model: Model, gpu: Gpu, arrangement: Arrangement, tier: Tier, pins: Pins, *, context: int, version: str,
    solved: float,
) -> Fraction:  # fmt: skip
    """``solved`` is what the slack allows; it is used unless the pins say otherwise."""
    backend, word = pins.text("attention_backend", ""), pins.text("mem_fraction_static", "")
    derating = rules.derating(model, vendor=gpu.vendor, backend=backend, context=context, version=version)
    if default_fraction.is_word(word):
        own = _own(model, gpu, arrangement, tier, pins, version)
        between = default_fraction.spread(own, model, arrangement, word=word, version=version)
        return Fraction(asked=own, derating=derating, between=between)
    raised = min(_MOST, int(solved / derating * 1000) / 1000) if version else solved
    asked = pins.number("mem_fraction_static", raised, most=1)
    unsure = derating < 1 and not version  # not every release takes it off, and then the raised one would be deadly
    return Fraction(
        asked=asked, derating=derating, between=(asked, asked / derating) if unsure else None,
        solved="mem_fraction_static" not in pins.values,
    )  # fmt: skip


def solve(before_load: int, weighed: int, *, needs: int, reserve: int, allowance: int) -> float:
    """The largest static fraction that leaves the slack, rounded down to SGLang's three decimals.

    The allowance is more than the slack on most cards. Where the weights leave little it is scaled down so that the
    fraction stays the same: a fraction that falls while memory grows would shrink the pool at each of its steps.
    """
    outside = max(needs, min(allowance + reserve, before_load * needs // max(1, needs + weighed)))
    fraction = 1 - outside / before_load if before_load else 0.0
    return max(0.001, min(_MOST, int(fraction * 1000) / 1000))


def _own(model: Model, gpu: Gpu, arrangement: Arrangement, tier: Tier, pins: Pins, version: str) -> float:
    """SGLang's own choice for these sizes; a batch that is pinned is that of its graphs."""
    _, batch = default_fraction.sizes(gpu.total_bytes, arrangement.tensor_parallel)
    return default_fraction.fraction(
        model, gpu.total_bytes, arrangement, chunk=tier.chunk,
        batch=pins.whole("cuda_graph_max_bs_decode", min(batch, tier.requests)),
        graphs=tier.prefill_graph and gpu.vendor == "nvidia", version=version,
    )  # fmt: skip
