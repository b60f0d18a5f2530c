"""What a server needs on a GPU besides weights and KV cache, in bytes. Every prior names its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmserve.hardware.machine import Gpu
from llmserve.models.model import Model
from llmserve.output.text import GIB
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.plan import Share

MIB = 1024**2

_CONTEXT, _SMALL_CONTEXT = 0.55, 0.45
"""GiB of context and driver: H100 and MI355X 0.55, H200 0.65; of the smaller chips RTX 4090 0.4 and L40S 0.5 (free
memory before and after, public logs)."""

_SMALL_CHIPS = ("sm_75", "sm_86", "sm_89")

_NCCL_NVLINK = {2: 0.3, 4: 0.8, 8: 1.7}
_NCCL_PCIE = {2: 0.1, 4: 0.15, 8: 0.3}
_RCCL = {2: 1.0, 4: 2.0, 8: 3.5}
"""GiB of communicators and custom all-reduce per GPU (logs of H200 x 8, RTX 4090 x 2 and x 4, MI355X x 8)."""

_PROCESSES = 3 * GIB  # three of them with torch, where the host's memory is the GPU's
UNIFIED = ("sm_87", "sm_101", "sm_110", "sm_121")  # Jetson Orin and Thor, GB10


@dataclass(frozen=True)
class Tier:
    """Engine sizes that cost memory outside the static fraction: tokens per prefill chunk, requests, prefill graphs."""

    chunk: int
    requests: int
    prefill_graph: bool


TIERS = (
    Tier(16384, 256, prefill_graph=True),
    Tier(8192, 256, prefill_graph=True),
    Tier(4096, 64, prefill_graph=True),
    Tier(2048, 32, prefill_graph=False),
)
"""From the best throughput to the least memory; the sizes are SGLang's own tiers (``memory_hook``)."""


def start_overhead(gpus: Sequence[Gpu], arrangement: Arrangement) -> int:
    """Free memory that is gone before the weights begin to load: CUDA context and NCCL."""
    ranks = arrangement.tensor_parallel * arrangement.pipeline_parallel
    context = _SMALL_CONTEXT if gpus[0].arch in _SMALL_CHIPS else _CONTEXT
    if ranks == 1:
        return int(context * GIB)
    fast = all(any(link.kind in ("nvlink", "xgmi") for link in gpu.links) for gpu in gpus)
    table = _RCCL if gpus[0].vendor == "amd" else _NCCL_NVLINK if fast else _NCCL_PCIE
    nearest = max((size for size in table if size <= ranks), default=2)
    return int((context + table[nearest]) * GIB)


def doubt(gpu: Gpu) -> int:
    """How far free memory before the load may be from the prediction: less certain where the host shares it."""
    return gpu.total_bytes // 25 if gpu.arch in UNIFIED else int(0.4 * GIB) + gpu.total_bytes // 400


def allowance(gpu: Gpu, model: Model) -> int:
    """What may stay outside the static fraction: grows slowly with what is free, so that more never holds less.

    2.9 GiB of 24, 6.0 of 80, 9.3 of 141: what recorded successful starts left free, where SGLang's own default keeps
    7.1, 13.6 and 13.9.
    """
    shared = _PROCESSES if gpu.arch in UNIFIED else 0
    return int(1.6 * GIB + 0.055 * gpu.free_bytes) + shared + _images(model)


def _images(model: Model) -> int:
    return 2 * GIB if model.vision else 0


def choose_tier(gpu: Gpu, model: Model, arrangement: Arrangement, *, context: int, requests: int | None) -> Tier:
    """The best sizes whose needs stay within the allowance of the card; the smallest ones if none do."""
    for tier in TIERS:
        tier = tier if requests is None else Tier(tier.chunk, requests, tier.prefill_graph)
        needs = slack(gpu, model, arrangement, tier, context=context)
        if sum(share.size_bytes for share in needs) <= allowance(gpu, model):
            break
    return tier


def slack(
    gpu: Gpu, model: Model, arrangement: Arrangement, tier: Tier, *, context: int, drafts: int = 0
) -> tuple[Share, ...]:
    """Memory that must stay free of weights and KV cache for SGLang to start and to run."""
    activations = 2 * activation(model, tier.chunk, arrangement)
    prefill = int(0.35 * GIB) + activations if tier.prefill_graph else 0
    decode = int((0.15 + 0.002 * tier.requests * (1.5 if model.experts else 1) + (1.0 if drafts else 0)) * GIB)
    logits = tier.requests * (drafts or 1) * model.vocab_size * 4
    table = (tier.requests + 1) * (context + 4 + drafts) * 4
    shared = () if gpu.arch not in UNIFIED else (
        Share(name="host processes", size_bytes=_PROCESSES, basis="they live in the same memory"),
    )  # fmt: skip
    return (
        *shared,
        Share(name="CUDA graphs", size_bytes=prefill + decode, basis=f"prior: {tier.chunk}-token prefill, batch size"),
        Share(name="workspaces", size_bytes=GIB // 2 + logits, basis="attention workspace, and logits in float32"),
        Share(name="request table", size_bytes=table, basis="(requests + 1) x (context + 4) x 4 B"),
        Share(
            name="activations and safety",
            size_bytes=safety(gpu) + _images(model) + (0 if tier.prefill_graph else activations),
            basis="1 GiB + 2 % of what is free"
            + ("" if tier.prefill_graph else "; eager prefill")
            + ("; images" if model.vision else ""),
        ),
    )


def safety(gpu: Gpu) -> int:
    """What is kept free for what no prior covers: JIT kernels, cuBLAS workspaces, late NCCL channels."""
    return GIB + gpu.free_bytes // 50


def activation(model: Model, tokens: int, arrangement: Arrangement) -> int:
    """Bytes of the widest layer's activations for ``tokens`` at once, in 16 bit."""
    experts, ranks = model.experts, arrangement.tensor_parallel
    if experts:
        width = 2 * experts.active * experts.intermediate_size // ranks + experts.active * model.hidden_size
    else:
        width = 2 * model.intermediate_size // ranks
    return tokens * (6 * model.hidden_size + width) * 2
