"""DeepSeek-V3 as its headers describe it, in 163 files that are made of headers and zeros.

671 billion parameters and a layer for multi-token prediction in FP8: with names, types, shapes and sizes as published.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

from tests.fakes.hub import Content, Hollow

CONFIG: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 7168,
    "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128,
    "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "first_k_dense_replace": 3, "n_routed_experts": 256,
    "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4, "moe_layer_freq": 1,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "vocab_size": 129280, "max_position_embeddings": 163840, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}  # fmt: skip
SHARDS = 163

_HIDDEN, _BLOCK = 7168, 128
_BYTES = {"F8_E4M3": 1, "BF16": 2, "F32": 4}

Tensor = tuple[str, str, tuple[int, ...]]
"""Name, dtype and shape."""


def files() -> dict[str, Content]:
    """The repository."""
    shards = _shards(list(tensors()))
    names = [f"model-{number + 1:05d}-of-{SHARDS:06d}.safetensors" for number in range(SHARDS)]
    index = {name: file for file, shard in zip(names, shards, strict=True) for name, _, _ in shard}
    total = sum(_size(tensor) for shard in shards for tensor in shard)
    documents: dict[str, Any] = {
        "config.json": CONFIG,
        "tokenizer.json": {},
        "tokenizer_config.json": {"chat_template": "{{ messages }}"},
        "model.safetensors.index.json": {"metadata": {"total_size": total}, "weight_map": index},
    }
    small: dict[str, Content] = {name: json.dumps(content, indent=2).encode() for name, content in documents.items()}
    return small | {file: _file(shard) for file, shard in zip(names, shards, strict=True)}


def total_bytes() -> int:
    return sum(map(_size, tensors()))


def tensors() -> Iterator[Tensor]:
    """All tensors, as the published checkpoint has them."""
    yield "model.embed_tokens.weight", "BF16", (129280, _HIDDEN)
    for layer in range(62):
        yield from _layer(f"model.layers.{layer}.", dense=layer < 3)
    yield from _prediction("model.layers.61.")
    yield "model.norm.weight", "BF16", (_HIDDEN,)
    yield "lm_head.weight", "BF16", (129280, _HIDDEN)


def _layer(prefix: str, *, dense: bool) -> Iterator[Tensor]:
    attention = {
        "q_a_proj": (1536, _HIDDEN), "q_b_proj": (24576, 1536), "kv_a_proj_with_mqa": (576, _HIDDEN),
        "kv_b_proj": (32768, 512), "o_proj": (_HIDDEN, 16384),
    }  # fmt: skip
    for name, shape in attention.items():
        yield from _matrix(f"{prefix}self_attn.{name}", *shape)
    for name, width in {"self_attn.q_a_layernorm": 1536, "self_attn.kv_a_layernorm": 512,
                        "input_layernorm": _HIDDEN, "post_attention_layernorm": _HIDDEN}.items():  # fmt: skip
        yield f"{prefix}{name}.weight", "BF16", (width,)
    if dense:
        yield from _network(f"{prefix}mlp.", 18432)
        return
    yield f"{prefix}mlp.gate.weight", "BF16", (256, _HIDDEN)
    yield f"{prefix}mlp.gate.e_score_correction_bias", "F32", (256,)
    yield from _network(f"{prefix}mlp.shared_experts.", 2048)
    for expert in range(256):
        yield from _network(f"{prefix}mlp.experts.{expert}.", 2048)


def _prediction(prefix: str) -> Iterator[Tensor]:
    yield f"{prefix}embed_tokens.weight", "BF16", (129280, _HIDDEN)
    yield f"{prefix}eh_proj.weight", "BF16", (_HIDDEN, 2 * _HIDDEN)
    yield f"{prefix}shared_head.head.weight", "BF16", (129280, _HIDDEN)
    for name in ("enorm", "hnorm", "shared_head.norm"):
        yield f"{prefix}{name}.weight", "BF16", (_HIDDEN,)


def _network(prefix: str, width: int) -> Iterator[Tensor]:
    yield from _matrix(f"{prefix}gate_proj", width, _HIDDEN)
    yield from _matrix(f"{prefix}up_proj", width, _HIDDEN)
    yield from _matrix(f"{prefix}down_proj", _HIDDEN, width)


def _matrix(name: str, rows: int, columns: int) -> Iterator[Tensor]:
    yield f"{name}.weight", "F8_E4M3", (rows, columns)
    yield f"{name}.weight_scale_inv", "F32", (-(-rows // _BLOCK), -(-columns // _BLOCK))


def _size(tensor: Tensor) -> int:
    return _BYTES[tensor[1]] * math.prod(tensor[2])


def _shards(found: list[Tensor]) -> list[list[Tensor]]:
    """Files of nearly the same size."""
    shards: list[list[Tensor]] = [[] for _ in range(SHARDS)]
    share, position = sum(map(_size, found)) / SHARDS, 0
    for tensor in found:
        shards[min(SHARDS - 1, int(position / share))].append(tensor)
        position += _size(tensor)
    return shards


def _file(shard: list[Tensor]) -> Hollow:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for tensor in shard:
        name, dtype, shape = tensor
        end = position + _size(tensor)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    return Hollow(struct.pack("<Q", len(text)) + text, 8 + len(text) + position)
