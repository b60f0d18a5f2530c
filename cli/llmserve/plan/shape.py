"""How many requests of how many tokens a pool of KV cache serves."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.errors import DoesNotFitError
from llmserve.models.model import Model
from llmserve.output.text import gib
from llmserve.plan.plan import Goal

SMALLEST_CONTEXT = 1024
"""Below this a chat model cannot hold one exchange, so a plan is refused instead of shrunk further."""

_ROUND = 256  # llama.cpp pads its context to this; for SGLang any page size divides it


@dataclass(frozen=True)
class Fit:
    """``concurrency`` requests of ``context`` tokens; ``notes`` say what was lowered and why."""

    context: int
    concurrency: int
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.context * self.concurrency


def fit(
    model: Model, goal: Goal, *, tokens: int, cell: float, most_context: int, most_requests: int, pools: int = 1
) -> Fit:
    """The largest shape within ``pools`` pools of ``tokens`` each, at ``cell`` bytes a token.

    What the user named is kept or refused; what was left open is lowered to fit, requests before context.

    Raises:
        DoesNotFitError: the user's own figures, or the smallest useful context, exceed the pools.
    """
    limit = goal.context or max(min(model.context_length, most_context), 1)
    floor = limit if goal.context else min(limit, SMALLEST_CONTEXT)
    share = -(-(goal.concurrency or 1) // pools)  # requests in the fullest pool
    if floor * share > tokens:
        raise _too_small(goal, share=share, tokens=tokens, cell=cell, floor=floor)
    context = limit if limit * share <= tokens else _rounded(tokens // share, floor)
    concurrency = goal.concurrency or max(1, min(most_requests, tokens // context * pools))
    notes = () if context == limit else (f"Context lowered from {limit:,} to {context:,} tokens: that is what fits.",)
    return Fit(context, concurrency, notes)


def _rounded(context: int, floor: int) -> int:
    return max(context // _ROUND * _ROUND, floor)


def _too_small(goal: Goal, *, share: int, tokens: int, cell: float, floor: int) -> DoesNotFitError:
    needed = floor * share
    missing = int((needed - tokens) * cell)
    fits = max(0, tokens // share)
    if fits < SMALLEST_CONTEXT and share > 1 and tokens >= floor:
        hint = f"Try --concurrency {tokens // floor}."
    elif fits >= SMALLEST_CONTEXT:
        hint = f"Try --context {fits // _ROUND * _ROUND or fits}, or a smaller model."
    else:
        hint = "Use a smaller model or free some memory: `llmserve doctor` shows who holds it."
    return DoesNotFitError(
        f"{goal.concurrency or 1} × {floor:,} tokens need {gib(int(needed * cell))} of KV cache, {gib(missing)} more "
        "than is free.",
        hint=hint,
        data={"missing_bytes": missing, "kv_tokens_that_fit": tokens},
    )
