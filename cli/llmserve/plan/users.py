"""How many users a plan serves at once, by the length of their conversations: the question that people really ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmserve.models.layers import AttentionLayers, CompressedLayers, LatentLayers
from llmserve.models.model import Model
from llmserve.plan.plan import Plan

Limit = Literal["memory", "requests", "window", "states"]

_SHORTEST = 4096
_BEHIND_WINDOW = 128
"""Tokens that SGLang keeps beyond a window before it frees them (``SGLANG_SWA_EVICTION_INTERVAL``)."""


@dataclass(frozen=True, kw_only=True)
class UsersAt:
    """``users`` requests of ``context`` tokens fit at the same time, at least ``least`` by the low end of the band.

    ``limit`` is what more of them would exceed: memory for all tokens, the engine's bound on running requests, the pool
    of layers that see a window, or the slots for states. ``planned`` is False above the plan's own context, which the
    engine refuses unless the plan is made for it.
    """

    context: int
    users: int
    least: int
    limit: Limit
    planned: bool = True


def table(plan: Plan, model: Model) -> tuple[UsersAt, ...]:
    """One entry per power of two from 4,096 tokens on, for the plan's context, and for the model's.

    Ends with the first context that does not fit.
    """
    entries: list[UsersAt] = []
    for context in contexts(model.context_length, plan.context):
        entries.append(at(plan, context, window=window(model)))
        if not entries[-1].users:
            break
    return tuple(entries)


def contexts(longest: int, *others: int) -> list[int]:
    """Powers of two from 4,096 (or what is less) up to ``longest``, with ``longest`` itself and ``others``."""
    found, step = {longest, *(other for other in others if 0 < other <= longest)}, _SHORTEST
    while step < longest:
        found.add(step)
        step *= 2
    return sorted(found)


def at(plan: Plan, context: int, *, window: int | None = None) -> UsersAt:
    """How many requests of ``context`` tokens each fit; ``window`` is that of the layers that see only so much.

    Each attention group has pools of its own, in which a request lies whole; copies do not share anything.
    """
    predicted, groups, copies = plan.predicted, plan.attention_data_parallel, plan.data_parallel
    bounds: dict[Limit, int] = {"memory": predicted.kv_tokens // context * groups, "requests": _requests(plan, context)}
    if predicted.window_tokens is not None and window is not None:
        bounds["window"] = predicted.window_tokens // min(context, window + _BEHIND_WINDOW) * groups
    if predicted.state_slots is not None:
        bounds["states"] = predicted.state_slots * groups
    limit = min(bounds, key=lambda name: bounds[name])
    least = min(bounds[limit], predicted.band[0] // context * groups)
    return UsersAt(
        context=context,
        users=bounds[limit] * copies,
        least=least * copies,
        limit=limit,
        planned=context <= plan.context,
    )


def window(model: Model) -> int | None:
    """The longest window of the layers that do not see everything; None where all do."""
    kinds = (AttentionLayers, LatentLayers, CompressedLayers)
    return max((group.window for group in model.cache if isinstance(group, kinds) and group.window), default=None)


def _requests(plan: Plan, context: int) -> int:
    """llama.cpp divides its pool by a fixed number of slots, so longer conversations need a plan with fewer."""
    if plan.engine == "llamacpp" and context > plan.context:
        return plan.predicted.kv_tokens // context
    return plan.predicted.max_running_requests
