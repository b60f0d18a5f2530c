"""What the layers of a model keep between tokens: the part of a model that decides how much context fits.

A model is described by groups of layers that keep the same. How an engine lays them out in memory is the planner's
matter; these records say what the architecture needs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AttentionLayers:
    """Layers that keep keys and values: multi-head, multi-query and grouped-query attention.

    ``key_dim`` and ``value_dim`` are per head. ``window`` is the number of tokens that are looked at (None: all).
    ``shares`` counts those of ``layers`` that use the cache of an earlier layer (Gemma 3n and 4).
    """

    layers: int
    kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None = None
    shares: int = 0


@dataclass(frozen=True, kw_only=True)
class LatentLayers:
    """Multi-head latent attention (DeepSeek V2 and later): one compressed vector per token for all heads.

    ``latent_dim`` is ``kv_lora_rank``, ``rope_dim`` is ``qk_rope_head_dim``. ``index_layers`` of them keep a key of
    ``index_dim`` for sparse attention as well (DeepSeek V3.2, GLM-5).
    """

    layers: int
    latent_dim: int
    rope_dim: int
    index_dim: int = 0
    index_layers: int = 0
    window: int | None = None


@dataclass(frozen=True, kw_only=True)
class CompressedLayers:
    """DeepSeek V4: latent attention over a window, with every ``ratios``-th token kept beyond it.

    ``ratios`` has one entry per layer: 0 (window alone), 4 or 128. ``head_dim`` includes ``rope_dim``.
    """

    ratios: tuple[int, ...]
    head_dim: int
    rope_dim: int
    index_dim: int
    window: int

    @property
    def layers(self) -> int:
        return len(self.ratios)


@dataclass(frozen=True, kw_only=True)
class StateLayers:
    """Layers that keep a state of fixed size per request: Mamba, linear attention, short convolutions.

    The state is ``heads`` x ``head_dim`` x ``state_dim`` numbers of ``dtype``, and the last ``kernel`` - 1 inputs of a
    convolution over ``inner`` + 2 x ``groups`` x ``state_dim`` channels. ``kind`` is ``mamba2``, ``mamba1``, ``gdn``
    (gated delta net: Qwen3-Next, Qwen3.5), ``kda`` (Kimi Linear), ``lightning`` or ``conv`` (LFM2).
    """

    layers: int
    kind: str
    inner: int = 0
    groups: int = 0
    heads: int = 0
    head_dim: int = 0
    state_dim: int = 0
    kernel: int = 1
    dtype: str = "float32"


CacheLayers = AttentionLayers | LatentLayers | CompressedLayers | StateLayers


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A mixture of experts: ``routed`` per layer of which ``active`` answer a token, and ``shared`` that always do.

    ``intermediate_size`` is that of one routed expert; ``dense_layers`` are the layers without experts.
    """

    routed: int
    active: int
    intermediate_size: int
    shared: int = 0
    dense_layers: int = 0


@dataclass(frozen=True, kw_only=True)
class Vision:
    """An image encoder in front of the language model. Zero where the configuration does not say.

    ``named_layers`` and ``named_width`` are its ``num_hidden_layers`` and ``hidden_size`` in just these spellings: all
    that SGLang looks at when it chooses a static fraction.
    """

    layers: int = 0
    hidden_size: int = 0
    heads: int = 0
    named_layers: int = 0
    named_width: int = 0
