"""Engine settings in the engines' own spelling, each with the reason for it in one clause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmserve.hardware.machine import Machine
from llmserve.models.model import Model
from llmserve.plan.pins import MEASURED, PLANNED, Pins
from llmserve.plan.plan import Flag
from llmserve.plan.sglang import default_fraction
from llmserve.plan.sglang import rules as sglang_rules
from llmserve.plan.sglang.memory import MIB
from llmserve.plan.sglang.parsers import parsers
from llmserve.plan.shape import Fit

if TYPE_CHECKING:
    from llmserve.plan.sglang.layout import Layout, Wish


def _flag(name: str, value: object, reason: str) -> Flag:
    return Flag(name=name, value=None if value is None else str(value), reason=reason)


def prompt_cache(spare: int) -> int:
    """MiB of host memory for cached prompts: a quarter of what is left, at most llama-server's own default."""
    return min(8192, max(0, spare // 4) // MIB)


def llamacpp(
    model: Model, shape: Fit, machine: Machine, *, cache: int, checkpoints: int | None = None
) -> tuple[Flag, ...]:
    """Flags of llama-server; ``cache`` in MiB as from :func:`prompt_cache`, ``checkpoints`` None: its own number."""
    kept = _flag("--n-ctx-checkpoints", checkpoints, "copies of windows and states that memory holds")
    return (
        _flag("--ctx-size", shape.tokens, f"{shape.concurrency} × {shape.context} tokens, shared out evenly"),
        _flag("--parallel", shape.concurrency, "requests answered at the same time"),
        _flag("--threads", machine.cpu.cores, "physical cores within this process's limits"),
        _flag("--cache-ram", cache, "MiB of cached prompts; the default of 8192 is outside every budget"),
        *(() if checkpoints is None else (kept,)),
        *_sampling(model),
    )


def _sampling(model: Model) -> tuple[Flag, ...]:
    """SGLang reads these from the checkpoint; llama.cpp has defaults of its own for every model."""
    said = model.sampling
    named = (
        ("--temp", said.temperature), ("--top-p", said.top_p), ("--top-k", said.top_k), ("--min-p", said.min_p),
    )  # fmt: skip
    return tuple(_flag(name, value, "recommended for this model") for name, value in named if value is not None)


def sglang_cpu(model: Model, shape: Fit, *, state_slots: int | None, pins: Pins) -> tuple[Flag, ...]:
    """SGLang on CPU torch. Without the token cap it takes most of the host's memory (15 GB for a 1 MB model)."""
    states = () if state_slots is None else (
        _flag("--max-mamba-cache-size", state_slots, "states of linear attention; half of the memory by default"),
        _flag("--mamba-radix-cache-strategy", "no_buffer", "the other one needs a GPU"),
        _flag("--disable-overlap-schedule", None, "needs the strategy that a CPU lacks"),
    )  # fmt: skip
    flags = (
        _flag("--device", "cpu", "no usable GPU"),
        _flag("--attention-backend", "torch_native", "needs no compiled kernels"),
        _flag("--sampling-backend", "pytorch", "needs no compiled kernels"),
        _flag("--cuda-graph-backend-decode", "disabled", "no CUDA"),
        _flag("--cuda-graph-backend-prefill", "disabled", "no CUDA"),
        *_context(model, shape),
        _flag("--max-running-requests", shape.concurrency, "requests answered at the same time"),
        _flag("--max-total-tokens", shape.tokens, "the default fills most of the host's memory"),
        *states,
        _flag("--mem-fraction-static", 0.9, "a bound only: the token cap decides"),
        _flag("--sleep-on-idle", None, "an idle scheduler would spin on a core"),
        *_serving(model),
    )
    return _pinned(flags, pins)


def sglang_gpu(model: Model, layout: Layout, wish: Wish, *, why: str) -> tuple[Flag, ...]:
    """SGLang on GPUs: every size explicit, since its defaults look at the smallest card of the machine."""
    tier, requests = layout.tier, layout.tier.requests
    off = () if tier.prefill_graph else (_flag("--cuda-graph-backend-prefill", "disabled", "saves 1-3 GiB"),)
    flags = (
        *_parallel(layout, why),
        _flag("--mem-fraction-static", f"{layout.asked:g}", _why_fraction(layout)),
        *_context(model, layout.fit),
        _flag("--max-running-requests", requests, "bounds the request table and the graphs"),
        _flag("--chunked-prefill-size", tier.chunk, "the largest whose activations fit the slack"),
        _flag("--cuda-graph-max-bs-decode", requests, "graphs for every batch that can occur"),
        *off,
        *_pools(model, layout),
        *_drafts(layout),
        *_host_cache(wish, layout),
        *_serving(model),
    )
    return _pinned(flags, wish.pins)


def _why_fraction(layout: Layout) -> str:
    reason = "what the ledger leaves for weights and KV cache"
    return reason if layout.derating == 1 else f"{reason}; SGLang takes {layout.derating:g} of it with aiter"


def _context(model: Model, shape: Fit) -> tuple[Flag, ...]:
    """Nothing where the model's own context is served: that is the engine's default."""
    own = shape.context == model.context_length
    return () if own else (_flag("--context-length", shape.context, "tokens per request; bounds the request table"),)


def _parallel(layout: Layout, why: str) -> tuple[Flag, ...]:
    sizes = layout.arrangement
    staged = "stages need little of the network" if layout.nodes > 1 else "heads or widths do not split further"
    named = (
        ("--tp-size", sizes.tensor_parallel, why),
        ("--pp-size", sizes.pipeline_parallel, f"layers in stages: {staged}"),
        ("--attn-dp-size", sizes.attention_data_parallel, "a latent cache is whole on every GPU otherwise"),
        ("--ep-size", sizes.expert_parallel, "expert widths do not split further"),
        ("--dp-size", sizes.data_parallel, "copies of the model side by side"),
    )
    nodes = (_flag("--nnodes", layout.nodes, "machines of this kind"),) if layout.nodes > 1 else ()
    return (*(_flag(name, size, reason) for name, size, reason in named if size > 1), *nodes)


def _pools(model: Model, layout: Layout) -> tuple[Flag, ...]:
    settings, auto = layout.settings, sglang_rules.default_kv_dtype(model, layout.settings.arch)
    found = []
    if settings.kv_dtype != auto:
        found.append(_flag("--kv-cache-dtype", settings.kv_dtype, "asked for"))
    if settings.window_ratio is not None and settings.window_ratio != sglang_rules.window_ratio(model):
        reason = "windows of as many requests as contexts fit; the default wastes memory"
        found.append(_flag("--swa-full-tokens-ratio", f"{settings.window_ratio:g}", reason))
    if settings.state_slots is not None:
        reason = "states that the running requests can hold, and no more"
        found.append(_flag("--max-mamba-cache-size", settings.state_slots, reason))
    elif layout.pool.state_slots is not None and settings.state_ratio != sglang_rules.STATE_RATIO:
        reason = "states for as many requests as contexts fit"
        found.append(_flag("--mamba-full-memory-ratio", f"{settings.state_ratio:g}", reason))
    return tuple(found)


def _drafts(layout: Layout) -> tuple[Flag, ...]:
    if not layout.drafts:
        return ()
    return (
        _flag("--speculative-algorithm", "NEXTN", "the checkpoint can predict further tokens, and few requests run"),
        _flag("--speculative-num-steps", 3, "SGLang's choice for such models"),
        _flag("--speculative-eagle-topk", 1, "keeps the fast attention backends"),
        _flag("--speculative-num-draft-tokens", layout.drafts, "one more than the steps"),
    )


def _host_cache(wish: Wish, layout: Layout) -> tuple[Flag, ...]:
    if not wish.goal.host_cache_bytes:
        return ()
    ranks = layout.arrangement.gpus
    each = max(1, wish.goal.host_cache_bytes // ranks // 1_000_000_000)
    return (
        _flag("--enable-hierarchical-cache", None, "host memory keeps what the GPUs drop"),
        _flag("--hicache-size", each, "GB of host memory per process"),
    )


def _serving(model: Model) -> tuple[Flag, ...]:
    if model.task != "generate":
        metrics = _flag("--enable-metrics", None, "/metrics answers 404 without it")
        return (_flag("--is-embedding", None, "the model makes vectors, not text"), metrics)
    chosen = parsers(model, recipe_tool=model.tool_call_parser, recipe_reasoning=model.reasoning_parser)
    named = (
        ("--tool-call-parser", chosen.tool, chosen.tool_reason),
        ("--reasoning-parser", chosen.reasoning, chosen.reasoning_reason),
    )
    return (*(_flag(name, parser, reason) for name, parser, reason in named if parser), *_COMMON)


_COMMON = (
    _flag("--enable-metrics", None, "/metrics answers 404 without it"),
    _flag("--enable-cache-report", None, "cached tokens in usage"),
    _flag("--constrained-json-disable-any-whitespace", None, "small models pad JSON with blanks until the limit"),
)


def _pinned(flags: tuple[Flag, ...], pins: Pins) -> tuple[Flag, ...]:
    """Pinned settings in place of planned ones, and those that the planner knows nothing about at the end."""
    names = {"--" + name.replace("_", "-"): value for name, value in pins.values.items() if name not in MEASURED}
    if default_fraction.is_word(names.get("--mem-fraction-static", "")):  # the engine is to choose
        del names["--mem-fraction-static"]
        flags = tuple(flag for flag in flags if flag.name != "--mem-fraction-static")
    kept = tuple(_flag(f.name, names.pop(f.name) or None, "fixed by you") if f.name in names else f for f in flags)
    added = (_flag(name, _value(value), "fixed by you") for name, value in names.items() if value.lower() != "false")
    return (*kept, *(flag for flag in added if not (flag.value == "1" and flag.name.endswith("p-size"))))


def _value(value: str) -> str | None:
    """A switch has none."""
    return None if value.lower() in ("", "true") else value


__all__ = ["PLANNED", "llamacpp", "prompt_cache", "sglang_cpu", "sglang_gpu"]
