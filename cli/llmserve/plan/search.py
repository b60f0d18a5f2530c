"""Which GPUs, and how they share the model: every arrangement worked out, the one that serves the goal best taken."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.model import Model
from llmserve.output.text import gib
from llmserve.plan import parallel
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.plan import Alternative
from llmserve.plan.sglang import rules as sglang_rules
from llmserve.plan.sglang.layout import Layout, Wish, work_out

COMFORTABLE = 32_768
"""Tokens that make another GPU unnecessary when the user named no context."""

_FEW_REQUESTS = 32  # speculation pays while the GPUs have arithmetic to spare
_DRAFT_TOKENS = 4  # SGLang's choice for models with layers for multi-token prediction
_MOST_REJECTED = 6


@dataclass(frozen=True)
class Found:
    """The layout taken, why these GPUs in one clause, and what was tried besides."""

    layout: Layout
    why: str
    rejected: tuple[Alternative, ...]


def search(model: Model, machine: Machine, wish: Wish) -> Found:
    """The best layout of ``model`` on one machine.

    Raises:
        DoesNotFitError: no arrangement holds the weights and what was asked for; the last refusal is the widest one's.
        UsageError: pinned sizes contradict the model or the machine.
    """
    if wish.goal.nodes > 1:
        return _over_nodes(model, machine, wish)
    layouts, rejected, refusal = _tried(model, machine, wish)
    if not layouts:
        raise refusal or _no_gpus(model, machine, wish)
    chosen, why = _chosen(model, machine, wish, layouts)
    chosen, extra = _with_drafts(model, wish, chosen)
    others = (*rejected, *_passed_over(chosen, layouts), *extra)
    return Found(chosen, why, others[:_MOST_REJECTED])


def _tried(
    model: Model, machine: Machine, wish: Wish
) -> tuple[list[Layout], list[Alternative], DoesNotFitError | None]:
    layouts: list[Layout] = []
    rejected: list[Alternative] = []
    refusal: DoesNotFitError | None = None
    for group, arrangement in _options(model, machine, wish):
        try:
            layouts.append(work_out(model, group, arrangement, wish))
        except DoesNotFitError as error:
            rejected.append(Alternative(what=name(group, arrangement), why=_short(error)))
            refusal = error if refusal is None or _distance(error) <= _distance(refusal) else refusal
    return layouts, [*rejected, *_ruled_out(model, machine, wish)], refusal


def _options(model: Model, machine: Machine, wish: Wish) -> Iterator[tuple[tuple[Gpu, ...], Arrangement]]:
    pinned = _pinned(model, wish)
    for group in parallel.groups(machine):
        if pinned is not None:
            if len(group) == pinned.gpus:
                yield group, pinned
        elif wish.goal.gpus in (None, len(group)):
            latent = sglang_rules.latent(model) and wish.goal.objective == "throughput"
            yield from ((group, found) for found in parallel.arrangements(model, len(group), attention_groups=latent))


def _pinned(model: Model, wish: Wish) -> Arrangement | None:
    """The arrangement that the pins spell out, if they name any of its sizes."""
    pins, names = wish.pins, ("tp_size", "pp_size", "dp_size", "attn_dp_size", "ep_size")
    if not any(given in pins.values for given in names):
        return None
    ranks = pins.whole("tp_size", 1)
    copies, groups = pins.whole("dp_size", 1), pins.whole("attn_dp_size", 1)
    if pins.switch("enable_dp_attention"):
        copies, groups = 1, max(copies, groups)
    travels = pins.text("moe_a2a_backend", "none").lower() != "none"
    arrangement = Arrangement(
        tensor_parallel=ranks, pipeline_parallel=pins.whole("pp_size", 1),
        expert_parallel=ranks if travels and model.experts else pins.whole("ep_size", 1),
        data_parallel=copies, attention_data_parallel=groups, all_to_all=travels,
    )  # fmt: skip
    if problem := parallel.violation(model, arrangement):
        raise UsageError(f"{model.name} cannot be split as fixed: {problem}.", hint="Fix other sizes, or none.")
    return arrangement


def _chosen(model: Model, machine: Machine, wish: Wish, layouts: list[Layout]) -> tuple[Layout, str]:
    objective = wish.goal.objective
    if wish.goal.gpus or _pinned(model, wish):
        return max(layouts, key=lambda layout: layout.tokens_in_all), "as asked for"
    if objective == "fit":
        return max(layouts, key=lambda layout: layout.pool.tokens), "the most tokens"
    if objective == "latency":
        fast = [layout for layout in layouts if layout.arrangement.gpus == 1 or parallel.linked(layout.gpus)]
        staged = [layout for layout in fast if layout.arrangement.pipeline_parallel == 1]
        if staged:
            return max(
                staged, key=lambda one: (len(one.gpus), one.pool.tokens)
            ), "each token reads a share of the weights per GPU"
    if objective == "throughput":
        return _most_throughput(model, machine, wish, layouts)
    enough = next((layout for layout in layouts if _comfortable(model, wish, layout)), None)
    if enough is None and wish.goal.context:
        return layouts[0], "the fewest GPUs that hold it"
    return enough or max(layouts, key=lambda layout: layout.pool.tokens), "the fewest GPUs that hold it"


def _comfortable(model: Model, wish: Wish, layout: Layout) -> bool:
    """Whether it is enough even if the pool turns out as small as the band allows."""
    share = -(-(wish.goal.concurrency or 1) // layout.pools)
    wanted = (wish.goal.context or min(model.context_length, COMFORTABLE)) * share
    return layout.band[0] >= wanted


def _most_throughput(model: Model, machine: Machine, wish: Wish, layouts: list[Layout]) -> tuple[Layout, str]:
    """Attention groups for latent caches; otherwise copies of the smallest group that holds the model well."""
    grouped = [layout for layout in layouts if layout.arrangement.attention_data_parallel > 1]
    if grouped:
        return max(grouped, key=lambda layout: layout.tokens_in_all), "attention groups have caches of their own"
    base = next((layout for layout in layouts if _comfortable(model, wish, layout)), layouts[-1])
    sizes = base.arrangement
    for group in sorted(parallel.groups(machine), key=len, reverse=True):
        same, copies = group[0].name == base.gpus[0].name, len(group) // sizes.gpus
        if same and copies > 1 and len(group) % sizes.gpus == 0:
            try:
                copied = replace(sizes, data_parallel=copies)
                return work_out(model, group, copied, wish), "GPUs that share one copy of the model"
            except DoesNotFitError:  # one card of a larger group has less free memory
                continue
    return base, "the fewest GPUs that hold it"


def _with_drafts(model: Model, wish: Wish, layout: Layout) -> tuple[Layout, tuple[Alternative, ...]]:
    """Speculative decoding where the checkpoint has layers for it and few requests share the GPUs."""
    asked = wish.goal.concurrency or layout.fit.concurrency
    if not model.mtp_layers or wish.drafts or wish.pins.values:
        return layout, ()
    what = "speculative decoding with the checkpoint's MTP layers"
    if wish.goal.objective != "latency" or asked > _FEW_REQUESTS:
        why = f"pays for latency at up to {_FEW_REQUESTS} requests, and costs memory"
        return layout, (Alternative(what=what, why=why, options=("--objective latency", "--concurrency 16")),)
    try:
        return work_out(model, layout.gpus, layout.arrangement, replace(wish, drafts=_DRAFT_TOKENS)), ()
    except DoesNotFitError as error:
        return layout, (Alternative(what=what, why=error.message),)


def _over_nodes(model: Model, machine: Machine, wish: Wish) -> Found:
    """Layers in stages over machines: that needs far less of the network than tensor parallelism across them."""
    nodes, refusal = wish.goal.nodes, None
    for group in sorted(parallel.groups(machine), key=len, reverse=True):
        arrangement = Arrangement(tensor_parallel=len(group), pipeline_parallel=nodes)
        if wish.goal.gpus in (None, len(group)) and parallel.violation(model, arrangement) is None:
            try:
                layout = work_out(model, group, arrangement, wish)
                return Found(replace(layout, nodes=nodes), "all GPUs of each machine", ())
            except DoesNotFitError as error:
                refusal = refusal or error
    raise refusal or _no_gpus(model, machine, wish)


def _passed_over(chosen: Layout, layouts: list[Layout]) -> Iterator[Alternative]:
    for layout in layouts:
        if layout.arrangement.gpus == chosen.arrangement.gpus or layout.gpus[0].name != chosen.gpus[0].name:
            continue
        fewer = layout.arrangement.gpus < chosen.arrangement.gpus
        tokens = f"{layout.tokens_in_all:,} KV tokens"
        why = f"would hold {tokens} only" if fewer else f"not needed; would hold {tokens}"
        yield Alternative(what=name(layout.gpus, layout.arrangement), why=why, options=(f"--gpus {len(layout.gpus)}",))


def _ruled_out(model: Model, machine: Machine, wish: Wish) -> Iterator[Alternative]:
    if _pinned(model, wish):
        return
    for group in parallel.groups(machine):
        problem = parallel.violation(model, Arrangement(tensor_parallel=len(group)))
        if problem and (wish.goal.gpus == len(group) or (wish.goal.gpus is None and len(group) in (2, 4, 8))):
            yield Alternative(what=f"tensor parallelism over {len(group)} × {group[0].name}", why=problem)


def _distance(error: DoesNotFitError) -> tuple[bool, float]:
    """How far off: where the weights fit is nearer than where they do not, and what is no matter of memory last."""
    return "kv_tokens_that_fit" not in error.data, float(error.data.get("missing_bytes") or math.inf)


def _short(error: DoesNotFitError) -> str:
    missing = error.data.get("missing_bytes")
    return f"{gib(missing)} are missing on each GPU" if missing else error.message


def name(group: tuple[Gpu, ...], arrangement: Arrangement) -> str:
    """An arrangement in words."""
    parts = [
        f"tp {arrangement.tensor_parallel}",
        f"pp {arrangement.pipeline_parallel}" if arrangement.pipeline_parallel > 1 else "",
        f"attention dp {arrangement.attention_data_parallel}" if arrangement.attention_data_parallel > 1 else "",
        f"ep {arrangement.expert_parallel}" if arrangement.expert_parallel > 1 else "",
        f"dp {arrangement.data_parallel}" if arrangement.data_parallel > 1 else "",
    ]
    sizes = f" ({', '.join(filter(None, parts))})" if len(group) > 1 else ""
    return f"{len(group)} × {group[0].name}{sizes}"


def _no_gpus(model: Model, machine: Machine, wish: Wish) -> DoesNotFitError:
    here = len(parallel.usable(machine))
    pinned = _pinned(model, wish)
    asked = pinned.gpus if pinned else wish.goal.gpus
    if asked and asked > here:
        return DoesNotFitError(
            f"{asked} GPUs were asked for, and {machine.name} has {here} that can work together.",
            hint="Ask for fewer, or plan for another machine with --machine.",
            data={"missing_bytes": 0},
        )
    problems = "; ".join(sorted({alternative.why for alternative in _ruled_out(model, machine, wish)}))
    least = min((gpu.free_bytes for gpu in parallel.usable(machine)), default=0)
    return DoesNotFitError(
        f"{model.name} cannot be spread over these GPUs{f': {problems}' if problems else ''}.",
        hint=f"The emptiest arrangement has {gib(least)} per GPU; run `llmserve doctor`.",
        data={"missing_bytes": 0},
    )
