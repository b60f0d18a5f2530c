"""The heads of each attention layer: how many there are for keys and values, how wide, and what they look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmserve.models.architecture.fields import Fields
from llmserve.models.architecture.layer_kinds import Kind, window
from llmserve.models.headers.blob import broken

HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
HIDDEN = ("hidden_size", "n_embd", "d_model")
_KV_LISTS = ("num_key_value_heads", "num_kv_heads", "num_key_value_heads_per_layer")
_GLOBAL = ("gemma4", "embedding_gemma2", "diffusion_gemma")  # say the shape of windowed layers first


class HeadShape(NamedTuple):
    kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None


def head_shapes(fields: Fields, found: Sequence[Kind]) -> list[HeadShape | None]:
    """One shape per layer; None for layers without attention."""
    if not set(found) & {"full", "window", "both"}:
        return [None] * len(found)
    blocks = _blocks(fields, len(found))
    listed = next((heads for name in _KV_LISTS if (heads := _per_layer(fields, name, len(found)))), None)
    full, windowed = _full(fields), _windowed(fields)
    shapes: list[HeadShape | None] = []
    for i, kind in enumerate(found):
        shape = windowed if kind == "window" else full if kind in ("full", "both") else None
        if shape and listed:
            shape = shape._replace(kv_heads=listed[i]) if listed[i] else None
        if shape and blocks is not None:
            shape = shape._replace(kv_heads=blocks[i]) if blocks[i] else None
        shapes.append(_override(fields, i, shape) if shape else None)
    return shapes


def kv_heads(fields: Fields) -> int:
    """Heads for keys and values where all layers have the same (SGLang's ``get_total_num_kv_heads``)."""
    attention = fields.section("attn_config")
    if attention.get("kv_n_heads") is not None:  # MPT, DBRX
        return attention.number("kv_n_heads")
    if fields.get("multi_query") is True and fields.get("new_decoder_architecture") is not True:
        return 1
    names = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
    queries = fields.number(*HEADS)
    found = fields.number(*names, default=queries)
    if found > queries:
        raise broken(fields.where, f"has more heads for keys ({found}) than for queries ({queries})")
    if queries % found:
        raise broken(fields.where, f"has {queries} heads for queries, which {found} heads for keys cannot share evenly")
    return found


def head_dim(fields: Fields) -> int:
    default = max(1, fields.number(*HIDDEN) // fields.number(*HEADS))
    if fields.get("kv_lora_rank") is not None:
        return fields.count("head_dim") or default  # latent attention has no use for it, and GLM writes 0
    return fields.number("head_dim", "kv_channels", "attention_head_dim", default=default)


def _full(fields: Fields) -> HeadShape:
    heads, size = kv_heads(fields), head_dim(fields)
    kind = str(fields.get("model_type"))
    if kind.startswith(_GLOBAL) or fields.get("global_head_dim") is not None:
        size = fields.number("global_head_dim", default=512 if not fields.get("per_layer_config") else size)
        if fields.get("attention_k_eq_v") or kind.startswith("embedding_gemma2"):
            heads = fields.number("num_global_key_value_heads", default=heads)
        return HeadShape(heads, size, size, None)
    return HeadShape(heads, size, fields.count("v_head_dim") or size, None)


def _windowed(fields: Fields) -> HeadShape:
    """Windowed layers are like the others, except in MiMo, Step and Gemma 4."""
    other = fields.section("attention_other_setting")
    size = other.number("head_dim", default=fields.number("swa_head_dim", default=head_dim(fields)))
    heads = other.number(
        "num_attention_groups", default=fields.number("swa_num_key_value_heads", default=kv_heads(fields))
    )
    narrow = other.values or fields.get("swa_head_dim") is not None
    values = fields.count("swa_v_head_dim") or (size if narrow else fields.count("v_head_dim") or size)
    return HeadShape(heads, size, values, window(fields))


def _per_layer(fields: Fields, name: str, layers: int) -> list[int] | None:
    listed = fields.listed(name, layers) if isinstance(fields.get(name), list) else None
    if listed is not None:
        fields.count(name)  # checks each number
    return listed


def _blocks(fields: Fields, layers: int) -> list[int] | None:
    """Nemotron-NAS says for each layer how many heads share keys, or that it has no attention: 0 heads."""
    blocks = fields.listed("block_configs", layers)
    if blocks is None or not all(isinstance(block, dict) and "attention" in block for block in blocks):
        return None
    heads = []
    for block in blocks:
        section = Fields(block, fields.where).section("attention")
        sharing = section.number("n_heads_in_group", default=1)
        heads.append(
            0 if section.get("no_op") or section.get("replace_with_linear") else fields.number(*HEADS) // sharing
        )
    return heads


def _override(fields: Fields, layer: int, shape: HeadShape) -> HeadShape:
    """transformers writes shapes that differ as ``per_layer_config``: the number of a layer and what it changes."""
    table = fields.section("per_layer_config")
    changes = table.section(f"{layer:02}" if f"{layer:02}" in table.values else str(layer))
    if not changes.values:
        return shape
    size = changes.number("head_dim", default=shape.key_dim)
    values = size if changes.get("head_dim") is not None else shape.value_dim
    heads = changes.number("num_key_value_heads", default=shape.kv_heads)
    return HeadShape(heads, size, values, shape.window)
