"""How many bytes one token of context costs, and how many requests of how many tokens a budget holds."""

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


def kv_bytes_per_token(model: Model, *, tensor_parallel: int = 1, element_bytes: int = 2) -> int:
    """Bytes of K and V per token on one device.

    2 x layers x kv_heads/tp x head_dim x element size (SGLang ``pool_configurator``, llama.cpp ``llama_kv_cache``); a
    device keeps at least one head. For layouts other than grouped-query attention this is an upper bound.
    """
    heads = max(1, model.kv_heads // tensor_parallel)
    return 2 * model.layers * heads * model.head_dim * element_bytes


def fit(model: Model, goal: Goal, *, budget: int, cell: int, most_context: int, most_requests: int) -> Fit:
    """The largest shape within ``budget`` bytes at ``cell`` bytes a token.

    What the user named is kept or refused; what was left open is lowered to fit, requests before context.

    Raises:
        DoesNotFitError: the user's own figures, or the smallest useful context, exceed the budget.
    """
    tokens = budget // cell
    limit = goal.context or max(min(model.context_length, most_context), 1)
    floor = limit if goal.context else min(limit, SMALLEST_CONTEXT)
    needed = floor * (goal.concurrency or 1)
    if needed > tokens:
        raise _too_small(goal, needed=needed, tokens=tokens, cell=cell, floor=floor)
    context = limit if limit * (goal.concurrency or 1) <= tokens else _rounded(tokens // (goal.concurrency or 1), floor)
    concurrency = goal.concurrency or max(1, min(most_requests, tokens // context))
    notes = () if context == limit else (f"Context lowered from {limit:,} to {context:,} tokens: that is what fits.",)
    return Fit(context, concurrency, notes)


def _rounded(context: int, floor: int) -> int:
    return max(context // _ROUND * _ROUND, floor)


def _too_small(goal: Goal, *, needed: int, tokens: int, cell: int, floor: int) -> DoesNotFitError:
    missing = (needed - tokens) * cell
    requests = goal.concurrency or 1
    fits = max(0, tokens // requests)
    if fits < SMALLEST_CONTEXT and requests > 1 and tokens >= floor:
        hint = f"Try --concurrency {tokens // floor}."
    elif fits >= SMALLEST_CONTEXT:
        hint = f"Try --context {fits // _ROUND * _ROUND or fits}, or a smaller model."
    else:
        hint = "Use a smaller model or free some memory: `llmserve doctor` shows who holds it."
    return DoesNotFitError(
        f"{requests} × {floor:,} tokens need {gib(needed * cell)} of KV cache, {gib(missing)} more than is free.",
        hint=hint,
        data={"missing_bytes": missing, "kv_tokens_that_fit": tokens},
    )
