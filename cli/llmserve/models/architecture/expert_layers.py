"""The mixture of experts of a model, from a ``config.json``: every family has its own names for the same figures.

Sources: the configuration classes of transformers and SGLang 0.5.23 (``srt/configs``).
"""

from __future__ import annotations

from typing import Any

from llmserve.models.architecture.fields import Fields
from llmserve.models.layers import Experts

_ROUTED = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts", "num_routed_experts")
_ACTIVE = (
    "num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k", "moe_topk", "moe_k",
    "moe_router_topk", "num_selected_experts", "experts_per_token",
)  # fmt: skip
_SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
_SHARED_SIZES = (
    "shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dims", "share_expert_dim",
    "moe_shared_expert_intermediate_size",
)  # fmt: skip
_SIZES = (
    "moe_intermediate_size", "moe_ffn_hidden_size", "expert_ffn_hidden_size", "expert_intermediate_size",
    "intermediate_size", "ffn_hidden_size",
)  # fmt: skip
_DENSE = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", "dense_mlp_idx")
_SPARSE_WORDS = ("sparse", "moe", "hash_moe", "E")


def experts(fields: Fields, layers: int) -> Experts | None:
    """None for dense models. ``active`` is 0 where the configuration does not say it."""
    dbrx = fields.section("ffn_config")
    fields = dbrx if dbrx.get(*_ROUTED) else fields
    routed = fields.count(*_ROUTED)
    if routed < 2:
        return None
    return Experts(
        routed=routed,
        active=fields.count(*_ACTIVE),
        intermediate_size=fields.number(*_SIZES),
        shared=_shared(fields),
        dense_layers=layers - sum(_sparse(fields, layers)),
    )


def _shared(fields: Fields) -> int:
    """Some give the width of all shared experts together instead of their number; Llama 4 always has one."""
    if fields.get(*_SHARED) is not None:
        return fields.count(*_SHARED)
    llama = str(fields.get("model_type")).startswith("llama4")
    return 1 if llama or fields.count(*_SHARED_SIZES) else 0


def _sparse(fields: Fields, layers: int) -> list[bool]:
    """Which layers have experts."""
    listed = _listed(fields, layers)
    if listed is not None:
        return listed
    if fields.get("expert_layer_period") is not None:  # Jamba
        period, offset = fields.number("expert_layer_period"), fields.count("expert_layer_offset")
        return [i % period == offset for i in range(layers)]
    first, only = fields.count(*_DENSE), fields.get("mlp_only_layers")
    dense = set(only) if isinstance(only, list) and all(type(i) is int for i in only) else set()
    aligned = fields.get("moe_layer_freq") is not None  # DeepSeek counts from layer 0, the others end each period
    step = fields.number(
        "moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", default=1
    )
    return [i >= first and i not in dense and (i if aligned else i + 1) % step == 0 for i in range(layers)]


def _listed(fields: Fields, layers: int) -> list[bool] | None:
    """Lists of words, letters or flags per layer, or of the layers that have experts."""
    extra = fields.count("num_nextn_predict_layers")
    for name in ("mlp_layer_types", "hybrid_override_pattern", "layers_block_type"):
        words = fields.listed(name, layers, extra=extra)
        if words and any(word in _SPARSE_WORDS for word in words):
            return [word in _SPARSE_WORDS for word in words]
    flags = fields.listed("moe_layer_freq", layers, extra=extra)
    if flags is not None:
        return [bool(flag) for flag in flags]
    ids = _ids(fields.get("moe_layers_enum", "moe_layers"))
    return None if ids is None else [i in ids for i in range(layers)]


def _ids(value: Any) -> set[int] | None:
    """Step writes them as text: ``3,4,5``."""
    if isinstance(value, str):
        return {int(part) for part in value.split(",") if part.strip().isdigit()}
    return {i for i in value if type(i) is int} if isinstance(value, list) and value else None
