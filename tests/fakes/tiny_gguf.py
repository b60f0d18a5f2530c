"""Tiny models of several families as GGUF files, with the metadata and tensors that llama.cpp asks for.

Shapes are those of :mod:`tests.fakes.tiny_models`; the words are the built-in model's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path

from llmserve.models.builtin import bpe, gguf_file, spec
from tests.fakes.tiny_models import (
    ACTIVE,
    EXPERT_FORWARD,
    EXPERTS,
    FORWARD,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KERNEL,
    KV_HEADS,
    LATENT,
    NOPE,
    ROPE,
    STATE_DIM,
    STATE_HEADS,
    STATE_KEY_HEADS,
    VALUE,
    Shapes,
    noise,
)

Value = bool | int | float | Sequence[bool] | Sequence[int]

CONTEXT = 8192
WIDE_HEAD, RANK, INNER = 64, 48, 256
_F32, _F16 = 0, 1
_UINT32, _INT32, _FLOAT32, _BOOL, _ARRAY = 4, 5, 6, 7, 9
_FULL_PRECISION = ("ssm_a", "ssm_d", "ssm_conv1d", "ssm_norm", "shortconv.conv", "ffn_gate_inp", ".bias")


def write(family: str, folder: Path) -> Path:
    """The model of a family, as ``family``.gguf in ``folder``."""
    architecture, metadata, tensors = _FAMILIES[family]
    pairs = [gguf_file._text("general.architecture", architecture), gguf_file._text("general.type", "model")]
    pairs += [_pair(f"{architecture}.{name}", value) for name, value in (_COMMON | metadata).items()]
    pairs += gguf_file._tokenizer(bpe.vocabulary())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs)
    data = b""
    for name, shape in tensors.items():
        full = len(shape) == 1 or (any(sign in name for sign in _FULL_PRECISION) and name[-10:] != "dt.weight")
        sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        head += gguf_file._string(name) + sizes + struct.pack("<IQ", _F32 if full else _F16, len(data))
        data += gguf_file._padded(_numbers(name, math.prod(shape), full=full))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{family}.gguf").write_bytes(gguf_file._padded(head) + data)
    return folder / f"{family}.gguf"


def _numbers(name: str, count: int, *, full: bool) -> bytes:
    """Numbers of either sign, around 2^-6 (float32) or 2^-7 (float16)."""
    low, high = noise(name, count)
    width, exponent = (4, 0x3C) if full else (2, 0x20)
    result = bytearray(width * count)
    result[width - 2 :: width] = low
    result[width - 1 :: width] = high.translate(bytes(exponent | byte & 0x80 for byte in range(256)))
    return bytes(result)


def _pair(key: str, value: Value) -> bytes:
    if isinstance(value, Sequence):
        return gguf_file._string(key) + struct.pack("<I", _ARRAY) + _listed(value)
    if isinstance(value, bool):
        return gguf_file._string(key) + struct.pack("<I?", _BOOL, value)
    kind, code = (_FLOAT32, "f") if isinstance(value, float) else (_UINT32, "I")
    return gguf_file._string(key) + struct.pack(f"<I{code}", kind, value)


def _listed(values: Sequence[int]) -> bytes:
    flags = isinstance(values[0], bool)
    return struct.pack(f"<IQ{len(values)}{'?' if flags else 'i'}", _BOOL if flags else _INT32, len(values), *values)


def _model(*layers: Shapes, head: bool = False) -> Shapes:
    blocks = {f"blk.{i}.{_tensor(name)}": layer[name] for i, layer in enumerate(layers) for name in layer}
    outer = {"token_embd.weight": (spec.VOCABULARY, HIDDEN), "output_norm.weight": (HIDDEN,)}
    return outer | blocks | ({"output.weight": (spec.VOCABULARY, HIDDEN)} if head else {})


def _tensor(name: str) -> str:
    return name if name.endswith((".bias", "ssm_a", "ssm_d")) else f"{name}.weight"


def _attention(size: int = HEAD_DIM) -> Shapes:
    return {
        "attn_q": (HEADS * size, HIDDEN), "attn_k": (KV_HEADS * size, HIDDEN), "attn_v": (KV_HEADS * size, HIDDEN),
        "attn_output": (HIDDEN, HEADS * size),
    }  # fmt: skip


def _head_norms(size: int = HEAD_DIM) -> Shapes:
    return {"attn_q_norm": (size,), "attn_k_norm": (size,)}


def _biases(names: Shapes) -> Shapes:
    """One number for each output of the matrices."""
    return {f"{name}.bias": shape[:-1] for name, shape in names.items()}


_NORMS: Shapes = {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
_AFTER: Shapes = {"post_attention_norm": (HIDDEN,), "post_ffw_norm": (HIDDEN,)}
_FORWARD: Shapes = {"ffn_gate": (FORWARD, HIDDEN), "ffn_up": (FORWARD, HIDDEN), "ffn_down": (HIDDEN, FORWARD)}
_ROUTED: Shapes = {
    "ffn_gate_inp": (EXPERTS, HIDDEN),
    "ffn_gate_exps": (EXPERTS, EXPERT_FORWARD, HIDDEN),
    "ffn_up_exps": (EXPERTS, EXPERT_FORWARD, HIDDEN),
    "ffn_down_exps": (EXPERTS, HIDDEN, EXPERT_FORWARD),
}
_SHARED: Shapes = {
    "ffn_gate_shexp": (EXPERT_FORWARD, HIDDEN),
    "ffn_up_shexp": (EXPERT_FORWARD, HIDDEN),
    "ffn_down_shexp": (HIDDEN, EXPERT_FORWARD),
}
_LATENT: Shapes = {
    "attn_q_a": (RANK, HIDDEN),
    "attn_q_a_norm": (RANK,),
    "attn_q_b": (HEADS * (NOPE + ROPE), RANK),
    "attn_kv_a_mqa": (LATENT + ROPE, HIDDEN),
    "attn_kv_a_norm": (LATENT,),
    "attn_k_b": (HEADS, LATENT, NOPE),
    "attn_v_b": (HEADS, VALUE, LATENT),
    "attn_output": (HIDDEN, HEADS * VALUE),
}
_MAMBA: Shapes = {
    "ssm_in": (2 * INNER + 2 * STATE_DIM + STATE_HEADS, HIDDEN),
    "ssm_conv1d": (INNER + 2 * STATE_DIM, KERNEL),
    "ssm_conv1d.bias": (INNER + 2 * STATE_DIM,),
    "ssm_dt.bias": (STATE_HEADS,),
    "ssm_a": (STATE_HEADS, 1),
    "ssm_d": (STATE_HEADS, 1),
    "ssm_norm": (1, INNER),
    "ssm_out": (HIDDEN, INNER),
}
_KEYS, _VALUES = STATE_KEY_HEADS * STATE_DIM, STATE_HEADS * STATE_DIM
_DELTA_NET: Shapes = {
    "attn_qkv": (2 * _KEYS + _VALUES, HIDDEN),
    "attn_gate": (_VALUES, HIDDEN),
    "ssm_conv1d": (2 * _KEYS + _VALUES, KERNEL),
    "ssm_dt.bias": (STATE_HEADS,),
    "ssm_a": (STATE_HEADS,),
    "ssm_beta": (STATE_HEADS, HIDDEN),
    "ssm_alpha": (STATE_HEADS, HIDDEN),
    "ssm_norm": (STATE_DIM,),
    "ssm_out": (HIDDEN, _VALUES),
}
_CONVOLUTION: Shapes = {
    "shortconv.in_proj": (3 * HIDDEN, HIDDEN),
    "shortconv.conv": (HIDDEN, 3),
    "shortconv.out_proj": (HIDDEN, HIDDEN),
}


def _lfm2() -> Shapes:
    """The last norm goes by another name."""
    convolution = {**_NORMS, **_CONVOLUTION, **_FORWARD}
    shapes = _model(convolution, {**_NORMS, **_attention(), **_head_norms(), **_FORWARD}, convolution)
    return {name.replace("output_norm", "token_embd_norm"): shape for name, shape in shapes.items()}


_COMMON: dict[str, Value] = {
    "vocab_size": spec.VOCABULARY, "context_length": CONTEXT, "embedding_length": HIDDEN,
    "feed_forward_length": FORWARD, "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS,
    "attention.key_length": HEAD_DIM,
    "attention.value_length": HEAD_DIM, "attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": HEAD_DIM,
    "rope.freq_base": 10000.0,
}  # fmt: skip
_MOE: dict[str, Value] = {
    "expert_count": EXPERTS, "expert_used_count": ACTIVE, "expert_feed_forward_length": EXPERT_FORWARD,
}  # fmt: skip
_DEEPSEEK: dict[str, Value] = {
    **_MOE, "block_count": 2, "attention.head_count_kv": 1, "attention.key_length": LATENT + ROPE,
    "attention.value_length": LATENT, "attention.key_length_mla": NOPE + ROPE, "attention.value_length_mla": VALUE,
    "attention.q_lora_rank": RANK, "attention.kv_lora_rank": LATENT, "rope.dimension_count": ROPE,
    "leading_dense_block_count": 1, "expert_shared_count": 1, "expert_weights_scale": 1.0, "expert_gating_func": 2,
}  # fmt: skip
_GEMMA4: dict[str, Value] = {
    "block_count": 4, "attention.sliding_window": 512, "attention.sliding_window_pattern": [True, False, True, False],
    "attention.shared_kv_layers": 2, "attention.key_length": WIDE_HEAD, "attention.value_length": WIDE_HEAD,
    "attention.key_length_swa": HEAD_DIM, "attention.value_length_swa": HEAD_DIM, "rope.dimension_count": WIDE_HEAD,
    "rope.dimension_count_swa": HEAD_DIM, "rope.freq_base_swa": 10000.0, "embedding_length_per_layer_input": 0,
}  # fmt: skip
_GPT_OSS: dict[str, Value] = {**_MOE, "block_count": 4, "attention.sliding_window": 128}
_STATES: dict[str, Value] = {
    "ssm.conv_kernel": KERNEL, "ssm.state_size": STATE_DIM, "ssm.time_step_rank": STATE_HEADS,
}  # fmt: skip
_MAMBA2: dict[str, Value] = {
    **_STATES, "block_count": 2, "ssm.inner_size": INNER, "ssm.group_count": 1, "attention.head_count": 0,
    "attention.head_count_kv": 0, "feed_forward_length": 0,
}  # fmt: skip
_GRANITE: dict[str, Value] = {
    **_STATES, "block_count": 2, "ssm.inner_size": INNER, "ssm.group_count": 1,
    "attention.head_count_kv": [0, KV_HEADS], "attention.scale": 0.1,
    "embedding_scale": 12.0, "residual_scale": 0.22, "logit_scale": 8.0,
}  # fmt: skip
_QWEN35: dict[str, Value] = {
    **_STATES, "block_count": 4, "ssm.inner_size": _VALUES, "ssm.group_count": STATE_KEY_HEADS,
    "full_attention_interval": 4, "rope.dimension_sections": [4, 4, 4, 0],
}  # fmt: skip

_DENSE = {**_NORMS, **_attention(), **_FORWARD}
_QKV_BIASES = {name: size for name, size in _biases(_attention()).items() if "output" not in name}
_GEMMA = {**_DENSE, **_head_norms(), **_AFTER}
_WIDE_GEMMA = {**_GEMMA, **_attention(WIDE_HEAD), **_head_norms(WIDE_HEAD)}
_OSS = {
    "attn_norm": (HIDDEN,), **_attention(), **_biases(_attention()), "post_attention_norm": (HIDDEN,), **_ROUTED,
    **_biases(_ROUTED), "attn_sinks": (HEADS,),
}  # fmt: skip
_BEFORE: Shapes = {"attn_norm": (HIDDEN,), "post_attention_norm": (HIDDEN,)}
_GATED: Shapes = {**_attention(), **_head_norms(), "attn_q": (2 * HEADS * HEAD_DIM, HIDDEN)}

_FAMILIES: dict[str, tuple[str, dict[str, Value], Shapes]] = {
    "qwen2": ("qwen2", {"block_count": 2}, _model(*[{**_DENSE, **_QKV_BIASES}] * 2)),
    "qwen3moe": ("qwen3moe", {**_MOE, "block_count": 2}, _model(
        *[{**_NORMS, **_attention(), **_head_norms(), **_ROUTED}] * 2, head=True
    )),
    "deepseek2": ("deepseek2", _DEEPSEEK, _model(
        {**_NORMS, **_LATENT, **_FORWARD}, {**_NORMS, **_LATENT, **_ROUTED, **_SHARED}, head=True
    )),
    "gemma3": ("gemma3", {"block_count": 6, "attention.sliding_window": 512}, _model(*[_GEMMA] * 6)),
    "gemma4": ("gemma4", _GEMMA4, {
        **_model(*[_GEMMA, _WIDE_GEMMA] * 2), "rope_freqs.weight": (WIDE_HEAD // 2,)
    }),
    "gpt-oss": ("gpt-oss", _GPT_OSS, _model(*[_OSS] * 4, head=True)),
    "mamba2": ("mamba2", _MAMBA2, _model(*[{"attn_norm": (HIDDEN,), **_MAMBA}] * 2, head=True)),
    "granitehybrid": ("granitehybrid", _GRANITE, _model({**_NORMS, **_MAMBA, **_FORWARD}, _DENSE)),
    "lfm2": ("lfm2", {"block_count": 3, "attention.head_count_kv": [0, KV_HEADS, 0], "shortconv.l_cache": 3}, _lfm2()),
    "qwen35": ("qwen35", _QWEN35, _model(
        *[{**_BEFORE, **_DELTA_NET, **_FORWARD}] * 3, {**_BEFORE, **_GATED, **_FORWARD}
    )),
}  # fmt: skip
