"""Machines and models for planning tests, by the figures that matter."""

from __future__ import annotations

from dataclasses import replace

from llmserve.hardware.machine import Cpu, Gpu, Machine
from llmserve.models.layers import AttentionLayers
from llmserve.models.model import Model, Source
from llmserve.models.tensors import TensorGroup

GIB = 1024**3


def laptop(ram_gib: float = 16, free_gib: float = 12) -> Machine:
    return Machine(
        name="laptop", os="Linux", arch="x86_64", cpu=Cpu(model="test", cores=8, threads=16),
        ram_total_bytes=int(ram_gib * GIB), ram_available_bytes=int(free_gib * GIB),
    )  # fmt: skip


def gpus(
    count: int, *, total_gib: float, free_gib: float | None = None, name: str = "Test GPU", mig: bool = False
) -> Machine:
    free = total_gib - 0.5 if free_gib is None else free_gib
    cards = tuple(
        Gpu(
            index=i, uuid=f"GPU-{i}", vendor="nvidia", name=name, total_bytes=int(total_gib * GIB),
            free_bytes=int(free * GIB), arch="sm_90", mig=mig,
        )
        for i in range(count)
    )  # fmt: skip
    return replace(laptop(512, 480), name=f"{count}x{name}", gpus=cards)


def llama_8b(**changes: object) -> Model:
    """Llama-3.1-8B: 32 layers, 8 KV heads of 128, bf16. Its cache and tensors follow the figures that are changed."""
    model = Model(
        ref="llama-3.1-8b", name="llama-3.1-8b", source=Source(format="safetensors", repo="org/llama"),
        architecture="LlamaForCausalLM", layers=32, heads=32, kv_heads=8, head_dim=128, hidden_size=4096,
        vocab_size=128_256, context_length=131_072, dtype="bfloat16", weight_bytes=16_060_522_496,
        intermediate_size=14_336,
    )  # fmt: skip
    return shaped(replace(model, **changes))  # type: ignore[arg-type]


def shaped(model: Model) -> Model:
    """The model with a plain cache and with tensors of its weights' size, where it says neither."""
    cache = AttentionLayers(
        layers=model.layers, kv_heads=model.kv_heads, key_dim=model.head_dim, value_dim=model.head_dim
    )
    ends = 2 * model.vocab_size * model.hidden_size
    tensors = (
        TensorGroup(role="embedding", dtype="BF16", size_bytes=ends),
        TensorGroup(role="head", dtype="BF16", size_bytes=ends),
        TensorGroup(role="mlp", dtype="BF16", size_bytes=max(0, model.weight_bytes - 2 * ends)),
    )
    return replace(model, cache=model.cache or (cache,), tensors=model.tensors or tensors)


def qwen3_8b(**changes: object) -> Model:
    """Qwen3-8B: 36 layers, 8 KV heads of 128, bf16, weights 15.27 GiB as SGLang logs them."""
    figures: dict[str, object] = {
        "name": "qwen3-8b", "architecture": "Qwen3ForCausalLM", "layers": 36, "context_length": 40_960,
        "vocab_size": 151_936, "intermediate_size": 12_288, "weight_bytes": int(15.12 * GIB),
    }  # fmt: skip
    return llama_8b(**(figures | changes))


def small_gguf(**changes: object) -> Model:
    """Qwen2.5-0.5B as a 4-bit GGUF."""
    figures: dict[str, object] = {
        "name": "qwen2.5-0.5b", "source": Source(format="gguf", repo="org/qwen"), "architecture": "qwen2", "layers": 24,
        "heads": 14, "kv_heads": 2, "head_dim": 64, "hidden_size": 896, "vocab_size": 151_936,
        "context_length": 32_768, "dtype": "q4_k_m", "weight_bytes": 491_400_032, "intermediate_size": 4864,
    }  # fmt: skip
    return llama_8b(**(figures | changes))
