"""What the layers of a model keep between tokens, from a ``config.json``.

Sources: the configuration classes of transformers and SGLang 0.5.23, and ``ModelConfig._derive_model_shapes``. These
records say what the architecture needs; how much of it an engine saves is for the planner to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from llmserve.models.architecture.fields import Fields
from llmserve.models.architecture.head_shapes import HeadShape, head_shapes
from llmserve.models.architecture.layer_kinds import Kind, kinds, window
from llmserve.models.architecture.state_layers import state_layers
from llmserve.models.headers.blob import broken
from llmserve.models.layers import AttentionLayers, CacheLayers, CompressedLayers, LatentLayers

_RATIOS = {0, 4, 128}  # what DeepSeek V4 has; V4.1 may have others
_COMPRESSION = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}


def cache_layers(fields: Fields, layers: int) -> tuple[tuple[CacheLayers, ...], bool]:
    """Groups of layers that keep the same, and whether nothing had to be guessed."""
    compressed = _compressed(fields, layers)
    if compressed is not None:
        return (compressed,), set(compressed.ratios) <= _RATIOS
    repeated = _repeats(fields)
    found = kinds(fields, layers) * repeated
    groups: list[CacheLayers] = []
    if fields.get("kv_lora_rank") is not None and fields.get("use_mla") is not False:
        groups += _latent(fields, found)
    else:
        groups += grouped(head_shapes(fields, found), _shared(fields, layers) * repeated)
    states = sum(kind in ("state", "both") for kind in found)
    if not states:
        return tuple(groups), True
    state, said = state_layers(fields, states)
    return (*groups, state), said


def grouped(shapes: Sequence[HeadShape | None], shared: Sequence[bool]) -> Iterable[AttentionLayers]:
    """Layers of the same shape together, in the order in which they first appear; None keeps nothing."""
    members = Counter(shape for shape in shapes if shape)
    sharing = Counter(shape for shape, shares in zip(shapes, shared, strict=True) if shape and shares)
    for shape, count in members.items():
        yield AttentionLayers(
            layers=count,
            kv_heads=shape.kv_heads,
            key_dim=shape.key_dim,
            value_dim=shape.value_dim,
            window=shape.window,
            shares=sharing[shape],
        )


def _repeats(fields: Fields) -> int:
    """Longcat has two attention blocks in each layer; looped models run through their layers several times."""
    kind = str(fields.get("model_type"))
    if kind.startswith("longcat_flash"):
        return 2
    return fields.number("loop_num", "num_loops", default=1) if kind in ("iquestloopcoder", "nanbeige") else 1


def _shared(fields: Fields, layers: int) -> list[bool]:
    """Whether a layer uses the cache of an earlier one: the last of Gemma 3n and 4."""
    own = layers - fields.count("num_kv_shared_layers")
    if own < 0:
        raise fields.senseless("num_kv_shared_layers")
    return [i >= own for i in range(layers)]


def _latent(fields: Fields, found: Sequence[Kind]) -> Iterable[LatentLayers]:
    """Multi-head latent attention, some of it windowed (dots3), some with an index for sparse attention."""
    full = [i for i, kind in enumerate(found) if kind in ("full", "both")]
    windowed = sum(kind == "window" for kind in found)
    rank, rope = fields.number("kv_lora_rank"), _rope(fields)
    sparse = fields.get("index_topk") is not None
    if full:
        yield LatentLayers(
            layers=len(full),
            latent_dim=rank,
            rope_dim=rope,
            index_dim=fields.number("index_head_dim") if sparse else 0,
            index_layers=sum(_has_index(fields, i) for i in full) if sparse else 0,
        )
    if windowed:
        yield LatentLayers(
            layers=windowed,
            latent_dim=fields.number("swa_kv_lora_rank", default=rank),
            rope_dim=fields.count("swa_qk_rope_head_dim", default=rope),
            window=window(fields),
        )


def _rope(fields: Fields) -> int:
    if fields.get("use_mla_nope") is True or str(fields.get("model_type")).startswith("glm5_next"):
        return 0 if fields.get("use_mla_nope") else fields.count("qk_rope_head_dim")
    if fields.get("qk_rope_head_dim") is None:
        raise broken(fields.where, "does not say 'qk_rope_head_dim'")
    return fields.count("qk_rope_head_dim")


def _has_index(fields: Fields, layer: int) -> bool:
    """Whether a layer picks its own tokens instead of reusing those of the layer before (``dsa_layer_skips_topk``)."""
    types, pattern = fields.get("indexer_types"), fields.get("index_topk_pattern")
    if isinstance(types, list):
        return layer >= len(types) or types[layer] != "shared"
    if fields.count("cli_factor") > 1:
        return layer % fields.count("cli_factor") == 0
    if isinstance(pattern, str):
        return layer >= len(pattern) or pattern[layer] != "S"
    frequency, offset = fields.number("index_topk_freq", default=1), fields.number("index_skip_topk_offset", default=2)
    return max(layer - offset + 1, 0) % frequency == 0


def _compressed(fields: Fields, layers: int) -> CompressedLayers | None:
    """DeepSeek V4."""
    extra = fields.count("num_nextn_predict_layers")
    ratios = fields.listed("compress_ratios", layers, extra=extra)
    if ratios is None:
        ratios = _compressed_words(fields, fields.listed("layer_types", layers, extra=extra) or [])
    if not ratios:
        return None
    if not all(type(ratio) is int and ratio >= 0 for ratio in ratios):
        raise fields.senseless("compress_ratios")
    size = fields.number("head_dim")
    return CompressedLayers(
        ratios=tuple(ratios),
        head_dim=size,
        rope_dim=fields.number("qk_rope_head_dim", default=64),
        index_dim=fields.count("index_head_dim"),
        window=fields.number("sliding_window", "window_size"),
    )


def _compressed_words(fields: Fields, words: list[Any]) -> list[Any] | None:
    """transformers names the layers, and lists the ratios apart."""
    if not all(isinstance(word, str) and word in _COMPRESSION for word in words):
        return None
    rates: dict[str, Any] = {**_COMPRESSION, **fields.section("compress_rates").values}
    return [rates[word] for word in words] if any(word != "sliding_attention" for word in words) else None
