"""Which GPUs, and how many of them share one copy of the model."""

from __future__ import annotations

from collections.abc import Iterator

from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.model import Model


def usable(machine: Machine) -> tuple[Gpu, ...]:
    """GPUs that SGLang serves from: NVIDIA and AMD. (Apple's share host memory and go to llama.cpp.)"""
    return tuple(gpu for gpu in machine.gpus if gpu.vendor in ("nvidia", "amd"))


def valid(model: Model, tensor_parallel: int) -> bool:
    """Whether heads divide (SGLang ``linear.py``): query heads evenly, KV heads evenly or replicated."""
    kv = model.kv_heads
    even_kv = kv % tensor_parallel == 0 or tensor_parallel % kv == 0
    return model.heads % tensor_parallel == 0 and even_kv


def groups(machine: Machine, model: Model) -> Iterator[tuple[Gpu, ...]]:
    """Groups of equal GPUs to try, the fewest first, and among equals those with the most free memory."""
    by_kind: dict[tuple[str, int], list[Gpu]] = {}
    for gpu in usable(machine):
        by_kind.setdefault((gpu.name, gpu.total_bytes), []).append(gpu)
    kinds = [sorted(kind, key=lambda gpu: -gpu.free_bytes) for kind in by_kind.values()]
    for size in (1, 2, 4, 8):
        fitting = [tuple(kind[:size]) for kind in kinds if len(kind) >= size]
        if size > 1:  # MIG slices have no peer access, so they never share a model
            fitting = [group for group in fitting if not any(gpu.mig for gpu in group)]
        if valid(model, size):
            yield from sorted(fitting, key=lambda group: -min(gpu.free_bytes for gpu in group))
