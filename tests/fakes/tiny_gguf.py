"""Tiny models of several families as GGUF files, with the metadata and tensors that llama.cpp asks for.

Shapes are those of :mod:`tests.fakes.tiny_models`; the words are the built-in model's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llmserve.models.builtin import bpe, gguf_file, spec
from tests.fakes.tiny_models import (
    ACTIVE, EXPERT_FORWARD, EXPERTS, FORWARD, HEAD_DIM, HEADS, HIDDEN, KERNEL, KV_HEADS, LATENT, NOPE, ROPE,
    STATE_DIM, STATE_HEADS, STATE_KEY_HEADS, VALUE, Shapes, noise,
)  # fmt: skip

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
    return name if name.endswith((".bias", "ssm_a", "ssm_d", "bare")) else f"{name}.weight"


def _biases(names: Shapes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """One for each output of the matrices."""
    return ((f"{name}.bias", shape[:-1]) for name, shape in names.items())


def _attention(size: int = HEAD_DIM) -> Shapes:
    return {
        "attn_q": (HEADS * size, HIDDEN), "attn_k": (KV_HEADS * size, HIDDEN), "attn_v": (KV_HEADS * size, HIDDEN),
        "attn_output": (HIDDEN, HEADS * size),
    }  # fmt: skip


def _head_norms(size: int = HEAD_DIM) -> Shapes:
    return {"attn_q_norm": (size,), "attn_k_norm": (size,)}
