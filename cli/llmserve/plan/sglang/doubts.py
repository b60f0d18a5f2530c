"""What a plan does not know for certain: each source of doubt with its spread, and how they add up to the band.

Sources do not move together, so that their spreads add up as the root of their squares. A spread is what recorded
starts of many models and cards showed, or the distance between the two answers that are possible; the reason says it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from llmserve.hardware.machine import Gpu
from llmserve.models.layers import CompressedLayers
from llmserve.models.model import Model
from llmserve.output.text import GIB, gib
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.pins import Pins
from llmserve.plan.plan import Doubt
from llmserve.plan.sglang import memory
from llmserve.plan.sglang.pool import Pool, PoolSettings

_ROUNDING = 64 * 1024**2
"""SGLang logs GiB with two decimals, and prediction and log are compared in tokens."""

_WEIGHTS = {"headers": 0.01, "config": 0.02, "recipe": 0.03}
_UNLISTED = 0.05
_SELECTIVE = ("compressed-tensors", "modelopt", "quark", "auto-round", "modelslim", "w4afp8")
"""Methods whose checkpoints differ in what they leave alone."""

_NEIGHBOURS = 0.02
_LAYOUTS_DIFFER = 0.06
_OUTSIDE_DRAFTS = ("EAGLE", "EAGLE3", "STANDALONE", "FROZEN_KV_MTP")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the doubts are about: a filled pool, and how many tokens it would have at another static fraction."""

    model: Model
    gpu: Gpu
    arrangement: Arrangement
    pool: Pool
    settings: PoolSettings
    weight_bytes: int
    pins: Pins
    fractions: tuple[float, float] | None = None
    at_fraction: Callable[[float], int] = lambda _fraction: 0


def doubts(known: Known) -> tuple[Doubt, ...]:
    """All sources of doubt, in parts of the pool by which it may turn out smaller or larger."""
    found = (*_memory(known), *_weights(known), *_drafts(known), *_fraction(known), *_layout(known))
    return tuple(doubt for doubt in found if doubt.below or doubt.above)


def combined(found: Iterable[Doubt]) -> tuple[float, float]:
    """By which part the pool may be smaller, and larger."""
    listed = list(found)
    return math.hypot(*(doubt.below for doubt in listed)), math.hypot(*(doubt.above for doubt in listed))


def _memory(known: Known) -> Iterator[Doubt]:
    gpu = known.gpu
    if "before_load_gib" not in known.pins.values:
        yield _bytes(known, "free memory", memory.doubt(gpu), "driver and communicators differ by release and card")
        taken = gpu.total_bytes - gpu.free_bytes
        if taken > gpu.total_bytes // 10:
            reason = f"others hold {gib(taken)} of the card, and go on"
            yield _bytes(known, "other processes", int(_NEIGHBOURS * gpu.total_bytes), reason)
    yield _bytes(known, "rounding", _ROUNDING, "the engine rounds what it compares")


def _weights(known: Known) -> Iterator[Doubt]:
    if "weights_gib" in known.pins.values:
        return
    model, size = known.model, known.weight_bytes
    reason = {
        "headers": "layout on the GPU", "config": "computed from config.json", "recipe": "figures of the recipe",
    }[model.basis]  # fmt: skip
    yield _bytes(known, "weights", int(_WEIGHTS[model.basis] * size), reason)
    if model.basis != "headers" and (model.quantization or "").startswith(_SELECTIVE):
        reason = f"which tensors {model.quantization} leaves alone is told by headers alone"
        yield _bytes(known, "quantisation", int(_UNLISTED * size), reason)


def _drafts(known: Known) -> Iterator[Doubt]:
    """A draft model of its own takes memory that the plan cannot know: a layer of the target's width, and its ends."""
    model, pins = known.model, known.pins
    drafting = pins.text("speculative_algorithm", "").upper() in _OUTSIDE_DRAFTS
    if not drafting or (model.mtp_layers and "speculative_draft_model_path" not in pins.values):
        return
    hidden, ranks = model.hidden_size, known.arrangement.attention_tensor_parallel
    layer = 4 * hidden**2 + 3 * hidden * (model.intermediate_size or 4 * hidden)
    size = 2 * (2 * model.vocab_size * hidden + layer) // ranks
    yield _bytes(known, "draft model", size, "nobody said how large it is", above=0)


def _fraction(known: Known) -> Iterator[Doubt]:
    if known.fractions is None:
        return
    low, high = (known.at_fraction(fraction) / max(1, known.pool.tokens) for fraction in known.fractions)
    reason = f"the fraction is a guess between {known.fractions[0]:.2f} and {known.fractions[1]:.2f}"
    yield Doubt(name="static fraction", below=max(0.0, 1 - low), above=max(0.0, high - 1), reason=reason)


def _layout(known: Known) -> Iterator[Doubt]:
    model = known.model
    if any(isinstance(group, CompressedLayers) for group in model.cache):
        reason = "builds pad and price compressed layers differently"
        yield Doubt(name="cache layout", below=_LAYOUTS_DIFFER, above=_LAYOUTS_DIFFER, reason=reason)
    if known.gpu.arch and not known.gpu.arch.startswith(("sm_", "gfx")):
        reason = f"nothing is known of starts on {known.gpu.name}"
        yield _bytes(known, "unknown card", known.gpu.total_bytes // 20, reason)
    if not model.familiar:  # a window or a latent cache would keep far less per token
        reason = f"the cache of {model.architecture} is guessed from general fields"
        yield Doubt(name="architecture", below=0.6, above=3.0, reason=reason)


def _bytes(known: Known, name: str, size: int, reason: str, *, above: int | None = None) -> Doubt:
    pool = max(1, known.pool.kv_bytes + known.pool.state_bytes)
    more = size if above is None else above
    return Doubt(name=name, below=size / pool, above=more / pool, reason=f"{size / GIB:.2f} GiB: {reason}")
