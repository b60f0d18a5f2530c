"""What SGLang would refuse, or die of, whatever the arithmetic says."""

from __future__ import annotations

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware.machine import Gpu
from llmserve.models.model import Model
from llmserve.output.text import GIB, gib
from llmserve.plan import parallel
from llmserve.plan.pins import Pins
from llmserve.plan.plan import Goal
from llmserve.plan.sglang import rules
from llmserve.plan.sglang.pool import Pool
from llmserve.plan.shape import SMALLEST_CONTEXT

_LEAST_SLACK = GIB // 4  # below this no start is known to have ended well


def capability(model: Model, gpu: Gpu) -> None:
    """Raises DoesNotFitError: the GPU is too old for the model's quantisation."""
    needed, has = rules.CAPABILITY.get(model.quantization or "", 0), parallel.capability(gpu)
    if has is not None and has < needed:
        raise DoesNotFitError(
            f"{model.name} is quantised by {model.quantization}, which needs compute capability {needed / 10:g}; "
            f"{gpu.name} has {has / 10:g}.",
            hint="Use another checkpoint of this model: `llmserve models` lists quantised ones.",
            data={"missing_bytes": 0},
        )


def context(model: Model, pins: Pins) -> int | None:
    """The pinned context. Raises UsageError: it is longer than the model's."""
    pinned = pins.whole("context_length", None)
    if pinned is not None and pinned > model.context_length:
        raise UsageError(
            f"{model.name} has a context of {model.context_length:,} tokens; {pinned:,} were fixed.",
            hint="Fix context_length to that or less.",
            code="context_too_long",
        )
    return pinned


def cap(model: Model, goal: Goal, pins: Pins) -> int | None:
    """The pinned size of the pool. Raises UsageError: not one request could be held, whatever the memory."""
    pinned = pins.whole("max_total_tokens", None)
    least = goal.context or min(SMALLEST_CONTEXT, model.context_length)
    if pinned is not None and pinned < least:
        raise UsageError(
            f"--fixed max_total_tokens={pinned} is less than one request of {least:,} tokens.",
            hint=f"Fix {least} or more, or leave it out.",
        )
    return pinned


def chunk(pins: Pins, planned: int) -> int:
    """Tokens per prefill chunk; -1 is SGLang's word for whole prompts."""
    pinned = pins.whole("chunked_prefill_size", planned, least=-1)
    if pinned == 0:
        raise UsageError("--fixed chunked_prefill_size=0 is not possible.", hint="Use -1 to prefill prompts whole.")
    return pinned


def requests(filled: Pool) -> None:
    """Raises DoesNotFitError: not one request could run."""
    if filled.requests < 1:
        raise DoesNotFitError(
            f"{filled.state_slots} states of linear attention are too few for one request.",
            hint="Raise max_mamba_cache_size, or leave it out.",
            data={"missing_bytes": 0},
        )


def slack(model: Model, before_load: int, rest: int, weighed: int, fraction: float) -> None:
    """Raises DoesNotFitError: a fixed fraction leaves nothing for graphs and activations."""
    left = before_load - weighed - rest
    if left < _LEAST_SLACK:
        raise DoesNotFitError(
            f"A fraction of {fraction:g} leaves {gib(max(0, left))} for graphs and activations of {model.name}.",
            hint="Fix mem_fraction_static to less, or leave it out.",
            data={"missing_bytes": _LEAST_SLACK - left},
        )
