"""Short words for what layers keep, and a small model to change."""

from __future__ import annotations

from typing import Any

from llmserve.models.architecture import Architecture, from_config, from_gguf
from llmserve.models.headers.gguf import Header
from llmserve.models.layers import AttentionLayers, LatentLayers

BASE = {
    "num_hidden_layers": 12, "hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128,
    "vocab_size": 1000, "max_position_embeddings": 4096, "intermediate_size": 4096,
}  # fmt: skip


def read(model_type: str, **fields: Any) -> Architecture:
    return from_config(BASE | {"model_type": model_type} | fields, "config.json")


def heads(layers: int, kv_heads: int, size: int, window: int | None = None, **fields: Any) -> AttentionLayers:
    return AttentionLayers(
        layers=layers, kv_heads=kv_heads, key_dim=size, value_dim=fields.pop("value_dim", size), window=window, **fields
    )


def latent(layers: int, **fields: Any) -> LatentLayers:
    return LatentLayers(layers=layers, latent_dim=512, rope_dim=fields.pop("rope_dim", 64), **fields)


def gguf(
    architecture: str = "llama",
    sizes: dict[str, int] | None = None,
    lengths: dict[str, int] | None = None,
    **changes: Any,
) -> Architecture:
    """A model of two layers; changes by key, with ``__`` for the dot, and without the architecture's name."""
    base = {
        "block_count": 2, "context_length": 4096, "embedding_length": 256, "feed_forward_length": 512,
        "attention.head_count": 8, "attention.head_count_kv": 2,
    }  # fmt: skip
    fields = base | {key.replace("__", "."): value for key, value in changes.items()}
    metadata = {key if key.startswith("general.") else f"{architecture}.{key}": fields[key] for key in fields}
    metadata = {"general.architecture": architecture, "general.file_type": 15} | metadata
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return from_gguf(Header(metadata, lengths or {"tokenizer.ggml.tokens": 300}, 1, sizes or {"Q4_K": 9}), "here.gguf")
