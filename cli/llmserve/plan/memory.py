"""What a server needs besides weights and KV cache, per device, in bytes. Every prior names its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.model import Model
from llmserve.output.text import GIB
from llmserve.plan.plan import Share

MIB = 1024**2

LOADING_OVERHEAD = 1.01
"""2 MiB rounding of torch's caching allocator over thousands of tensors (SGLang logs: 0.5-2 %)."""


@dataclass(frozen=True)
class Budget:
    """Free memory of one device, and what is taken from it before the KV cache."""

    free: int
    shares: tuple[Share, ...]

    @property
    def left(self) -> int:
        return self.free - sum(share.size_bytes for share in self.shares)

    def ledger(self, kv_bytes: int, *more: Share) -> tuple[Share, ...]:
        """All shares, adding up to ``free`` exactly; what nobody uses is the last line."""
        kv = Share(name="KV cache", size_bytes=kv_bytes, basis="tokens x bytes per token")
        left = self.left - kv_bytes - sum(share.size_bytes for share in more)
        return (*self.shares, kv, *more, Share(name="unused", size_bytes=left, basis="what is left"))


def host(machine: Machine, model: Model, *, engine: str) -> Budget:
    """Host memory for an engine on the CPU."""
    shares = [
        Share(name="weights", size_bytes=model.weight_bytes, basis="tensor headers of the checkpoint"),
        Share(name="reserve", size_bytes=_host_reserve(machine), basis="left to the rest of the machine"),
        *(_llamacpp_host(model) if engine == "llamacpp" else _sglang_host()),
    ]
    return Budget(machine.ram_available_bytes, tuple(shares))


def _host_reserve(machine: Machine) -> int:
    return min(max(GIB // 2, machine.ram_total_bytes // 16), 4 * GIB)


def _llamacpp_host(model: Model) -> list[Share]:
    # llama.cpp sizes its graph for one micro-batch of 512 tokens: logits in f32, activations a few times hidden
    compute = 512 * 4 * (model.vocab_size + 6 * model.hidden_size + 3 * model.intermediate_size)
    return [
        Share(name="compute buffers", size_bytes=compute, basis="prior: one micro-batch of 512 tokens"),
        Share(name="process", size_bytes=128 * MIB, basis="measured: resident size without a model"),
    ]


def _sglang_host() -> list[Share]:
    # three Python processes with torch, 0.7 GB resident each (recorded start-ups of 0.5.23 on CPU)
    return [Share(name="processes", size_bytes=int(2.5 * GIB), basis="measured: three processes with torch")]


@dataclass(frozen=True)
class GpuShape:
    """Engine sizes that decide the slack on a GPU. ``chunk`` in tokens, ``requests`` running at once."""

    chunk: int
    requests: int
    prefill_graph: bool


def gpu_shape(gpu: Gpu, requests: int) -> GpuShape:
    """Chunked prefill size and graph policy by card size: SGLang's tiers, one step lower on cards up to 24 GiB."""
    total = gpu.total_bytes / GIB
    chunk = 2048 if total < 30 else 4096 if total < 60 else 8192 if total < 160 else 16384
    return GpuShape(chunk, requests, prefill_graph=total > 25)


def start_overhead(tensor_parallel: int) -> int:
    """CUDA context plus NCCL, before SGLang measures its free memory (prior from public start-up logs)."""
    nccl = {1: 0.0, 2: 0.25, 4: 0.8}.get(tensor_parallel, 1.8)
    return int((0.55 + nccl) * GIB)


def slack(gpu: Gpu, model: Model, shape: GpuShape, *, context: int) -> list[Share]:
    """Memory that must stay free of weights and KV cache for SGLang to start and to run."""
    total = gpu.total_bytes / GIB
    safety = 2.0 if total < 30 else 3.0 if total < 100 else 4.5
    graphs = 0.15 + 0.002 * shape.requests
    if shape.prefill_graph:
        graphs += {2048: 0.7, 4096: 1.2, 8192: 2.5, 16384: 5.0}[shape.chunk]
    request_table = (shape.requests + 1) * (context + 4) * 4
    logits = shape.requests * model.vocab_size * 4
    return [
        Share(name="CUDA graphs", size_bytes=int(graphs * GIB), basis="prior by batch and chunk size"),
        Share(name="workspaces", size_bytes=int(0.5 * GIB) + logits, basis="attention workspace and logits"),
        Share(name="request table", size_bytes=request_table, basis="(requests + 1) x (context + 4) x 4 B"),
        Share(name="activations and safety", size_bytes=int(safety * GIB), basis="prior by card size"),
    ]


def gpu_budget(gpus: Sequence[Gpu], model: Model, shape: GpuShape, *, context: int) -> Budget:
    """The budget of the tightest of ``gpus``, weights split evenly over them."""
    tightest = min(gpus, key=lambda gpu: gpu.free_bytes)
    count = len(gpus)
    weights = int(model.weight_bytes / count * LOADING_OVERHEAD)
    shares = [
        Share(name="driver and NCCL", size_bytes=start_overhead(count), basis="prior by number of GPUs"),
        Share(name="weights", size_bytes=weights, basis="tensor headers, split over the GPUs, + 1 %"),
        *slack(tightest, model, shape, context=context),
    ]
    return Budget(tightest.free_bytes, tuple(shares))


def static_fraction(budget: Budget, kv_bytes: int, *, tensor_parallel: int) -> float:
    """SGLang's ``--mem-fraction-static`` for this ledger: (weights + KV) over free memory after its own start.

    SGLang sizes its pool as B x f - weights (``kv_cache_configurator``), B being free memory after CUDA and NCCL.
    """
    before_load = budget.free - start_overhead(tensor_parallel)
    weights = next(share.size_bytes for share in budget.shares if share.name == "weights")
    return int((weights + kv_bytes) / before_load * 1000) / 1000
