"""The record of what a model's own description says about its shape, before any of its weights are looked at."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.models.layers import CacheLayers, Experts, Vision
from llmserve.models.model import Task


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The figures of ``Model`` that come from a description, under the names that they have there.

    ``kv_heads`` and ``head_dim`` are those of the layers with full attention; models without any attention have zero
    heads. ``dtype`` is empty where the description says none.
    """

    name: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    context_length: int
    dtype: str = ""
    quantization: str | None = None
    task: Task = "generate"
    model_type: str = ""
    familiar: bool = True
    cache: tuple[CacheLayers, ...] = ()
    experts: Experts | None = None
    vision: Vision | None = None
    tied_embeddings: bool = False
    mtp_layers: int = 0
    weight_block: int | None = None
    group_size: int | None = None
    kv_cache_dtype: str | None = None
