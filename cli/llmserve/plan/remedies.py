"""What would make a refused plan fit: each remedy is worked out before it is proposed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmserve.errors import DoesNotFitError, LlmserveError
from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.model import Model, Source
from llmserve.output.text import gib
from llmserve.plan import parallel
from llmserve.plan.plan import Alternative
from llmserve.plan.search import search
from llmserve.plan.sglang.layout import Layout, Wish
from llmserve.plan.shape import SMALLEST_CONTEXT
from llmserve.records import to_json

_USEFUL = 8192  # tokens: with less than this a server is of little use
_NATIVE_FP8 = ("sm_89", "sm_90", "sm_10", "sm_12", "gfx94", "gfx95")


def with_remedies(error: DoesNotFitError, model: Model, machine: Machine, wish: Wish) -> DoesNotFitError:
    """The same refusal with ``data["alternatives"]``, and the first of them as the hint."""
    found = list(remedies(model, machine, wish))
    data = error.data | {"alternatives": [to_json(alternative) for alternative in found]}
    fixed = "minimum_mem_fraction_static" in error.data  # what the user fixed is the first thing to change
    hint = error.hint if fixed or not found else _hint(found[0])
    return DoesNotFitError(error.message, hint=hint, data=data)


def _hint(first: Alternative) -> str:
    typed = f": {first.options[0]}" if first.options else ""
    return f"{first.what} would do, {first.why}{typed}"


def remedies(model: Model, machine: Machine, wish: Wish) -> Iterator[Alternative]:
    """Changes that make it fit, the smallest change first."""
    yield from _shorter(model, machine, wish)
    yield from _smaller_cache(model, machine, wish)
    yield from _variants(model, machine, wish)
    yield from _more_gpus(model, machine, wish)
    yield from _more_nodes(model, machine, wish)


def for_more_context(model: Model, machine: Machine, wish: Wish) -> tuple[Alternative, ...]:
    """What would hold more than a plan whose context had to be lowered."""
    return (*_smaller_cache(model, machine, wish), *_variants(model, machine, wish))


def fp8_cache(gpu: Gpu) -> bool:
    """Whether the GPU computes with FP8, so that an FP8 cache costs no speed."""
    return gpu.arch.startswith(_NATIVE_FP8)


def _shorter(model: Model, machine: Machine, wish: Wish) -> Iterator[Alternative]:
    goal = wish.goal
    if goal.context:
        layout = _try(model, machine, replace(wish, goal=replace(goal, context=None)))
        if layout and SMALLEST_CONTEXT <= layout.fit.context < goal.context:
            context = layout.fit.context // 256 * 256 or layout.fit.context
            yield Alternative(
                what="A shorter context", why=f"{context:,} tokens fit", options=(f"--context {context}",)
            )
    if goal.concurrency and goal.concurrency > 1:
        fits = _most_requests(model, machine, wish, goal.concurrency)
        if fits:
            yield Alternative(what="Fewer requests", why=f"{fits} at once fit", options=(f"--concurrency {fits}",))


def _most_requests(model: Model, machine: Machine, wish: Wish, asked: int) -> int:
    """The most requests that fit at the context that was asked for; 0: none."""
    low, high = 0, asked
    while high - low > max(1, low // 16):  # a sixteenth more or less helps nobody
        middle = (low + high) // 2
        fits = _try(model, machine, replace(wish, goal=replace(wish.goal, concurrency=middle))) is not None
        low, high = (middle, high) if fits else (low, middle)
    return low


def _smaller_cache(model: Model, machine: Machine, wish: Wish) -> Iterator[Alternative]:
    if wish.goal.kv_dtype or "kv_cache_dtype" in wish.pins.values:
        return
    if all(fp8_cache(gpu) for gpu in parallel.usable(machine)):
        layout = _try(model, machine, replace(wish, goal=replace(wish.goal, kv_dtype="fp8_e4m3")))
        if layout:
            why = f"{layout.pool.tokens:,} tokens fit, at a small loss of precision"
            yield Alternative(what="An FP8 KV cache", why=why, options=("--kv-dtype fp8_e4m3",))


def _variants(model: Model, machine: Machine, wish: Wish) -> Iterator[Alternative]:
    """Quantised checkpoints of the same model; their sizes are the recipe's figures."""
    for variant in model.variants:
        if variant.size_bytes and _serves(machine, variant) and variant.size_bytes < model.weight_bytes:
            smaller = scaled(model, variant.size_bytes / model.weight_bytes)
            sizes = f"{gib(variant.size_bytes)} instead of {gib(model.weight_bytes)}"
            what, repo = f"The quantised {variant.repo}", str(variant.repo)
            if (layout := _try(smaller, machine, wish)) and layout.pool.tokens >= _USEFUL:
                count = len(layout.gpus)
                why = f"{sizes}, {layout.pool.tokens:,} tokens fit on {count} GPU{'s' * (count > 1)}"
                yield Alternative(what=what, why=why, options=(repo,))
            elif layout := _try(smaller, machine, replace(wish, goal=replace(wish.goal, concurrency=None))):
                fits = layout.fit.concurrency
                why = f"{sizes}, and {fits} of the {wish.goal.concurrency} requests fit"
                yield Alternative(what=what, why=why, options=(repo, f"--concurrency {fits}"))


def _serves(machine: Machine, variant: Source) -> bool:
    """FP4 runs at its own speed from Blackwell on; older cards would unpack it."""
    newest = all(gpu.arch.startswith(("sm_10", "sm_12")) for gpu in parallel.usable(machine))
    return bool(variant.repo) and (newest or "fp4" not in str(variant.repo).lower())


def scaled(model: Model, factor: float) -> Model:
    """The same shape with weights of another size."""
    tensors = tuple(replace(group, size_bytes=int(group.size_bytes * factor)) for group in model.tensors)
    return replace(model, tensors=tensors, weight_bytes=int(model.weight_bytes * factor))


def _more_gpus(model: Model, machine: Machine, wish: Wish) -> Iterator[Alternative]:
    cards = parallel.usable(machine)
    for count in (2, 4, 8):
        if count > len(cards) and cards and not cards[0].mig:
            more = replace(machine, gpus=tuple(_copy(cards[0], number, cards) for number in range(count)))
            layout = _try(model, more, replace(wish, goal=replace(wish.goal, gpus=None)))
            if layout:
                why = f"{layout.pool.tokens:,} tokens fit"
                yield Alternative(what=f"{len(layout.gpus)} × {cards[0].name}", why=why)
                return


def _copy(gpu: Gpu, number: int, cards: tuple[Gpu, ...]) -> Gpu:
    return cards[number] if number < len(cards) else replace(gpu, index=1000 + number, uuid=f"{gpu.uuid}-{number}")


def _more_nodes(model: Model, machine: Machine, wish: Wish) -> Iterator[Alternative]:
    for nodes in (2, 3, 4, 6, 8):
        if wish.goal.nodes == 1 and len(parallel.usable(machine)) > 1:
            layout = _try(model, machine, replace(wish, goal=replace(wish.goal, nodes=nodes)))
            if layout:
                why = f"{layout.pool.tokens:,} tokens fit with the layers split over them"
                what = f"{nodes} machines like {machine.name}"
                yield Alternative(what=what, why=why, options=(f"--nodes {nodes}",))
                return


def _try(model: Model, machine: Machine, wish: Wish) -> Layout | None:
    try:
        return search(model, machine, wish).layout
    except LlmserveError:
        return None
