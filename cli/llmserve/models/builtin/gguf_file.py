"""The built-in model as one GGUF file (version 3), with the same weights, vocabulary and chat template.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from llmserve.models.builtin import spec
from llmserve.models.builtin.bpe import Vocabulary
from llmserve.models.builtin.encode import float16, float32
from llmserve.models.builtin.hf_files import CHAT_TEMPLATE
from llmserve.models.builtin.weights import Tensor

_ALIGNMENT = 32
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_F32, _F16 = 0, 1  # ggml types
_MOSTLY_F16 = 1
_NORMAL, _CONTROL = 1, 3  # token types

_OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def content(vocabulary: Vocabulary, tensors: Mapping[str, Tensor]) -> bytes:
    """The whole file."""
    metadata = list(_metadata(vocabulary))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata)
    data: list[bytes] = []
    offset = 0
    for name, tensor in sorted(tensors.items()):
        vector = len(tensor.shape) == 1
        encoded = _padded(float32(tensor) if vector else float16(_rotary(name, tensor)))
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        head += _string(_name(name)) + shape + struct.pack("<IQ", _F32 if vector else _F16, offset)
        data.append(encoded)
        offset += len(encoded)
    return _padded(head) + b"".join(data)


def _metadata(vocabulary: Vocabulary) -> Iterator[bytes]:
    yield _text("general.architecture", "llama")
    yield _text("general.type", "model")
    yield _text("general.name", "tiny")
    yield _number("general.file_type", _MOSTLY_F16)
    yield _number("llama.context_length", spec.CONTEXT)
    yield _number("llama.embedding_length", spec.HIDDEN)
    yield _number("llama.block_count", spec.LAYERS)
    yield _number("llama.feed_forward_length", spec.INTERMEDIATE)
    yield _number("llama.attention.head_count", spec.HEADS)
    yield _number("llama.attention.head_count_kv", spec.KV_HEADS)
    yield _number("llama.attention.key_length", spec.HEAD_DIM)
    yield _number("llama.attention.value_length", spec.HEAD_DIM)
    yield _number("llama.rope.dimension_count", spec.HEAD_DIM)
    yield _number("llama.vocab_size", spec.VOCABULARY)
    yield _key("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", _FLOAT32, spec.RMS_EPSILON)
    yield _key("llama.rope.freq_base") + struct.pack("<If", _FLOAT32, spec.ROPE_THETA)
    yield from _tokenizer(vocabulary)


def _tokenizer(vocabulary: Vocabulary) -> Iterator[bytes]:
    types = [_CONTROL if token in spec.SPECIAL_TOKENS else _NORMAL for token in vocabulary.tokens]
    yield _text("tokenizer.ggml.model", "gpt2")
    yield _text("tokenizer.ggml.pre", "gpt-2")
    yield _texts("tokenizer.ggml.tokens", vocabulary.tokens)
    yield _key("tokenizer.ggml.token_type") + struct.pack(f"<IIQ{len(types)}i", _ARRAY, _INT32, len(types), *types)
    yield _texts("tokenizer.ggml.merges", [f"{left} {right}" for left, right in vocabulary.merges])
    yield _number("tokenizer.ggml.bos_token_id", spec.SPECIAL_TOKENS.index(spec.END_OF_TEXT))
    yield _number("tokenizer.ggml.eos_token_id", spec.SPECIAL_TOKENS.index(spec.TURN_END))
    yield _number("tokenizer.ggml.padding_token_id", spec.SPECIAL_TOKENS.index(spec.END_OF_TEXT))
    yield _key("tokenizer.ggml.add_bos_token") + struct.pack("<I?", _BOOL, False)
    yield _text("tokenizer.chat_template", CHAT_TEMPLATE)


def _name(name: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_BLOCK[part]}.weight"


def _rotary(name: str, tensor: Tensor) -> Tensor:
    """llama.cpp rotates neighbouring rows of a head, Hugging Face rows half a head apart: reorder queries and keys."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    half, width = spec.HEAD_DIM // 2, tensor.shape[1]
    order = [
        head + part * half + i
        for head in range(0, tensor.shape[0], spec.HEAD_DIM)
        for i in range(half)
        for part in range(2)
    ]
    values = [value for row in order for value in tensor.values[row * width : (row + 1) * width]]
    return Tensor(tensor.shape, values, tensor.exponent)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _key(key: str) -> bytes:
    return _string(key)


def _text(key: str, text: str) -> bytes:
    return _key(key) + struct.pack("<I", _STRING) + _string(text)


def _number(key: str, number: int) -> bytes:
    return _key(key) + struct.pack("<II", _UINT32, number)


def _texts(key: str, texts: Sequence[str]) -> bytes:
    return _key(key) + struct.pack("<IIQ", _ARRAY, _STRING, len(texts)) + b"".join(map(_string, texts))


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)
