"""Tiny models of several families in the format that SGLang loads, with weights that nobody trained.

Names and shapes are those of each family's checkpoints on the hub, with a layer or two of each kind. Tokenizer and chat
template are the built-in model's.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmserve.models.builtin import bpe, hf_files, spec

Shapes = Mapping[str, tuple[int, ...]]

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FORWARD = 128, 4, 2, 32, 256
EXPERTS, ACTIVE, EXPERT_FORWARD = 4, 2, 64
WINDOW = 128
LATENT, ROPE, NOPE, VALUE = 64, 16, 32, 32  # of latent attention
STATE_KEY_HEADS, STATE_HEADS, STATE_DIM, KERNEL = 2, 4, 32, 4  # of linear attention


def write(family: str, folder: Path) -> Path:
    """The model of a family as a Hugging Face folder."""
    config, layers = _FAMILIES[family]
    shapes = _model(*layers, head=not config["tie_word_embeddings"])
    folder.mkdir(parents=True)
    for name, content in hf_files.files(bpe.vocabulary(), {}).items():
        (folder / name).write_bytes(content)
    (folder / "config.json").write_text(json.dumps(_COMMON | {"num_hidden_layers": len(layers)} | config))
    (folder / "model.safetensors").write_bytes(_safetensors(shapes))
    return folder


def noise(name: str, count: int) -> tuple[bytes, bytes]:
    """``count`` low bytes, and bits of which the highest may be a sign: the same for the same name."""
    stream = hashlib.shake_128(name.encode()).digest(2 * count)
    return stream[:count], stream[count:]


def _safetensors(shapes: Shapes) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts: list[bytes] = []
    offset = 0
    for name, shape in shapes.items():
        parts.append(_bfloat16(name, math.prod(shape)))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + len(parts[-1])]}
        offset += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def _bfloat16(name: str, count: int) -> bytes:
    """Numbers between 2^-7 and 2^-5 of either sign."""
    low, high = noise(name, count)
    result = bytearray(2 * count)
    result[0::2], result[1::2] = low, high.translate(bytes(0x3C | byte & 0x80 for byte in range(256)))
    return bytes(result)


def _model(*layers: Shapes, head: bool) -> Shapes:
    blocks = {f"model.layers.{i}.{_tensor(name)}": layer[name] for i, layer in enumerate(layers) for name in layer}
    outer = {"model.embed_tokens.weight": (spec.VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    return outer | blocks | ({"lm_head.weight": (spec.VOCABULARY, HIDDEN)} if head else {})


def _tensor(name: str) -> str:
    return name if name.endswith(("dt_bias", "A_log")) else f"{name}.weight"


_NORMS: Shapes = {"input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,)}
_ATTENTION: Shapes = {
    "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
    "self_attn.q_norm": (HEAD_DIM,),
    "self_attn.k_norm": (HEAD_DIM,),
}
_LATENT_ATTENTION: Shapes = {
    "self_attn.q_proj": (HEADS * (NOPE + ROPE), HIDDEN),
    "self_attn.kv_a_proj_with_mqa": (LATENT + ROPE, HIDDEN),
    "self_attn.kv_a_layernorm": (LATENT,),
    "self_attn.kv_b_proj": (HEADS * (NOPE + VALUE), LATENT),
    "self_attn.o_proj": (HIDDEN, HEADS * VALUE),
}
_KEYS, _VALUES = STATE_KEY_HEADS * STATE_DIM, STATE_HEADS * STATE_DIM
_LINEAR_ATTENTION: Shapes = {
    "linear_attn.in_proj_qkvz": (2 * _KEYS + 2 * _VALUES, HIDDEN),
    "linear_attn.in_proj_ba": (2 * STATE_HEADS, HIDDEN),
    "linear_attn.conv1d": (2 * _KEYS + _VALUES, 1, KERNEL),
    "linear_attn.dt_bias": (STATE_HEADS,),
    "linear_attn.A_log": (STATE_HEADS,),
    "linear_attn.norm": (STATE_DIM,),
    "linear_attn.out_proj": (HIDDEN, _VALUES),
}


def _forward(prefix: str, size: int) -> Shapes:
    return {
        f"{prefix}.gate_proj": (size, HIDDEN),
        f"{prefix}.up_proj": (size, HIDDEN),
        f"{prefix}.down_proj": (HIDDEN, size),
    }


def _experts() -> Shapes:
    routed = [_forward(f"mlp.experts.{i}", EXPERT_FORWARD) for i in range(EXPERTS)]
    return {"mlp.gate": (EXPERTS, HIDDEN)} | {name: shape for one in routed for name, shape in one.items()}


_COMMON = {
    "hidden_size": HIDDEN, "intermediate_size": FORWARD, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_DIM, "vocab_size": spec.VOCABULARY, "max_position_embeddings": spec.CONTEXT,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": False,
    "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "bfloat16",
}  # fmt: skip
_MOE = {
    "num_experts": EXPERTS, "num_experts_per_tok": ACTIVE, "moe_intermediate_size": EXPERT_FORWARD,
    "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [],
}  # fmt: skip
_QWEN3 = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "tie_word_embeddings": True}
_MELLUM = {
    "architectures": ["MellumForCausalLM"], "model_type": "mellum", "tie_word_embeddings": False, **_MOE,
    "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"],
}  # fmt: skip
_GEMMA3 = {
    "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "tie_word_embeddings": True,
    "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"], "rope_local_base_freq": 10000.0,
    "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": HEAD_DIM, "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
}  # fmt: skip
_DEEPSEEK = {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "tie_word_embeddings": False,
    "num_key_value_heads": HEADS, "kv_lora_rank": LATENT, "q_lora_rank": None, "qk_rope_head_dim": ROPE,
    "qk_nope_head_dim": NOPE, "v_head_dim": VALUE, "n_routed_experts": EXPERTS, "n_shared_experts": 1,
    "num_experts_per_tok": ACTIVE, "moe_intermediate_size": EXPERT_FORWARD, "first_k_dense_replace": 1,
    "moe_layer_freq": 1, "n_group": 1, "topk_group": 1, "topk_method": "greedy", "norm_topk_prob": False,
    "routed_scaling_factor": 1.0, "scoring_func": "softmax",
    "rope_scaling": {
        "type": "yarn", "rope_type": "yarn", "factor": 4, "original_max_position_embeddings": spec.CONTEXT // 4,
        "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707,
    },
}  # fmt: skip
_QWEN3_NEXT = {
    "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "tie_word_embeddings": False, **_MOE,
    "shared_expert_intermediate_size": EXPERT_FORWARD, "partial_rotary_factor": 0.25, "full_attention_interval": 2,
    "layer_types": ["linear_attention", "full_attention"], "linear_conv_kernel_dim": KERNEL,
    "linear_key_head_dim": STATE_DIM, "linear_value_head_dim": STATE_DIM,
    "linear_num_key_heads": STATE_KEY_HEADS, "linear_num_value_heads": STATE_HEADS,
}  # fmt: skip

_DENSE_LAYER = {**_NORMS, **_ATTENTION, **_forward("mlp", FORWARD)}
_GEMMA_LAYER = {**_DENSE_LAYER, "pre_feedforward_layernorm": (HIDDEN,), "post_feedforward_layernorm": (HIDDEN,)}
_EXPERT_LAYER = {**_NORMS, **_ATTENTION, **_experts()}
_NEXT_FORWARD = {
    **_NORMS, **_experts(), **_forward("mlp.shared_expert", EXPERT_FORWARD), "mlp.shared_expert_gate": (1, HIDDEN),
}  # fmt: skip
_FAMILIES: dict[str, tuple[dict[str, Any], list[Shapes]]] = {
    "qwen3": (_QWEN3, [_DENSE_LAYER, _DENSE_LAYER]),
    "gemma3": (_GEMMA3, [_GEMMA_LAYER, _GEMMA_LAYER]),
    "mellum": (_MELLUM, [_EXPERT_LAYER, _EXPERT_LAYER]),
    "deepseek_v2": (_DEEPSEEK, [
        {**_NORMS, **_LATENT_ATTENTION, **_forward("mlp", FORWARD)},
        {**_NORMS, **_LATENT_ATTENTION, **_experts(), **_forward("mlp.shared_experts", EXPERT_FORWARD)},
    ]),
    "qwen3_next": (_QWEN3_NEXT, [
        {**_NEXT_FORWARD, **_LINEAR_ATTENTION},
        {**_NEXT_FORWARD, **_ATTENTION, "self_attn.q_proj": (2 * HEADS * HEAD_DIM, HIDDEN)},
    ]),
}  # fmt: skip
