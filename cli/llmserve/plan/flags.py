"""Engine settings in the engines' own spelling, each with the reason for it in one clause."""

from __future__ import annotations

from llmserve.hardware.machine import Machine
from llmserve.models.model import Model
from llmserve.plan.kv_cache import Fit
from llmserve.plan.memory import MIB, GpuShape
from llmserve.plan.plan import Flag


def _flag(name: str, value: object, reason: str) -> Flag:
    return Flag(name=name, value=None if value is None else str(value), reason=reason)


def prompt_cache(spare: int) -> int:
    """MiB of host memory for cached prompts: a quarter of what is left, at most llama-server's own default."""
    return min(8192, max(0, spare // 4) // MIB)


def llamacpp(shape: Fit, machine: Machine, *, cache: int) -> tuple[Flag, ...]:
    """Flags of llama-server; ``cache`` in MiB as from :func:`prompt_cache`."""
    return (
        _flag("--ctx-size", shape.tokens, f"{shape.concurrency} × {shape.context} tokens, shared out evenly"),
        _flag("--parallel", shape.concurrency, "requests answered at the same time"),
        _flag("--threads", machine.cpu.cores, "physical cores within this process's limits"),
        _flag("--cache-ram", cache, "MiB of cached prompts; the default of 8192 is outside every budget"),
    )


def sglang_cpu(shape: Fit) -> tuple[Flag, ...]:
    """SGLang on CPU torch. Without the token cap it takes most of the host's memory (15 GB for a 1 MB model)."""
    return (
        _flag("--device", "cpu", "no usable GPU"),
        _flag("--attention-backend", "torch_native", "needs no compiled kernels"),
        _flag("--sampling-backend", "pytorch", "needs no compiled kernels"),
        _flag("--cuda-graph-backend-decode", "disabled", "no CUDA"),
        _flag("--cuda-graph-backend-prefill", "disabled", "no CUDA"),
        _flag("--context-length", shape.context, "tokens per request that fit"),
        _flag("--max-running-requests", shape.concurrency, "requests answered at the same time"),
        _flag("--max-total-tokens", shape.tokens, "the default fills most of the host's memory"),
        _flag("--mem-fraction-static", 0.9, "a bound only: the token cap decides"),
        _flag("--sleep-on-idle", None, "an idle scheduler would spin on a core"),
        *_COMMON,
    )


def sglang_gpu(model: Model, shape: Fit, sizes: GpuShape, fraction: float, tensor_parallel: int) -> tuple[Flag, ...]:
    """SGLang on GPUs: every size explicit, since its defaults look at the smallest card of the machine."""
    graphs = () if sizes.prefill_graph else (_flag("--cuda-graph-backend-prefill", "disabled", "saves 1-3 GiB"),)
    split = (_flag("--tp-size", tensor_parallel, "the fewest GPUs that hold it"),) if tensor_parallel > 1 else ()
    return (
        *split,
        _flag("--mem-fraction-static", fraction, "(weights + KV cache) / free memory, from the ledger"),
        _flag("--context-length", shape.context, "bounds the request table"),
        _flag("--max-running-requests", sizes.requests, "bounds the request table and the graphs"),
        _flag("--chunked-prefill-size", sizes.chunk, "by card size"),
        _flag("--cuda-graph-max-bs-decode", sizes.requests, "graphs for every batch that can occur"),
        *graphs,
        *_parsers(model),
        *_COMMON,
    )


def _parsers(model: Model) -> tuple[Flag, ...]:
    named = (("--tool-call-parser", model.tool_call_parser), ("--reasoning-parser", model.reasoning_parser))
    return tuple(_flag(name, parser, "the recipe's parser for this family") for name, parser in named if parser)


_COMMON = (
    _flag("--enable-metrics", None, "/metrics answers 404 without it"),
    _flag("--enable-cache-report", None, "cached tokens in usage"),
    _flag("--constrained-json-disable-any-whitespace", None, "small models pad JSON with blanks until the limit"),
)
