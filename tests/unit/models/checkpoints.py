"""Small weight files for tests, written from the formats' specifications."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmserve.models.headers.ggml import TYPES
from llmserve.models.headers.safetensors import DTYPE_BITS

Tensors = Mapping[str, tuple[str, Sequence[int]]]
"""Name to dtype and shape."""

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
}  # fmt: skip

_KINDS = {
    "u8": 0,
    "i8": 1,
    "u16": 2,
    "i16": 3,
    "u32": 4,
    "i32": 5,
    "f32": 6,
    "bool": 7,
    "u64": 10,
    "i64": 11,
    "f64": 12,
}
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def safetensors(tensors: Tensors, **metadata: str) -> bytes:
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, (dtype, shape) in tensors.items():
        size = math.prod(shape) * DTYPE_BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    return with_header(header, position)


def with_header(header: Any, data: int = 0) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def gguf(
    metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, Sequence[int]]] | None = None, *, version: int = 3
) -> bytes:
    """A GGUF file. Values: text, or (kind, number), or a list of texts, or (kind, list of numbers)."""
    tensors = tensors or {}
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(text(key) + value(item) for key, item in metadata.items())
    alignment, data = 32, b""
    for name, (kind, shape) in tensors.items():
        _, block, size = TYPES[kind]
        data += bytes(-len(data) % alignment)
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
        data += b"\1" * (math.prod(shape) // block * size)
    return head + bytes(-len(head) % alignment) + data if tensors else head


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content.encode())) + content.encode()


def value(item: Any) -> bytes:
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    if isinstance(item, list):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(text, item))
    kind, content = _KINDS[item[0]], item[1]
    if isinstance(content, list):
        return struct.pack(f"<IIQ{len(content)}{_CODES[kind]}", 9, kind, len(content), *content)
    return struct.pack("<I" + _CODES[kind], kind, content)


def llama_gguf(**changes: Any) -> dict[str, Any]:
    """Metadata of a small Llama; ``changes`` by key with ``__`` for the dot, None to leave a key out."""
    metadata: dict[str, Any] = {
        "general.architecture": "llama", "llama.block_count": ("u32", 2), "llama.context_length": ("u32", 4096),
        "llama.embedding_length": ("u32", 256), "llama.feed_forward_length": ("u32", 512),
        "llama.attention.head_count": ("u32", 8), "llama.attention.head_count_kv": ("u32", 2),
        "tokenizer.ggml.tokens": ["<unk>", "a", "b"], "general.file_type": ("u32", 15),
    }  # fmt: skip
    metadata |= {key.replace("__", "."): item for key, item in changes.items()}
    return {key: item for key, item in metadata.items() if item is not None}


def write_folder(
    path: Path,
    *,
    config: Mapping[str, Any] | None = None,
    shards: int = 1,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """A model folder with one matrix per shard, an index where there are several, and a tokenizer."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(LLAMA if config is None else config))
    (path / "tokenizer.json").write_text("{}")
    names = [f"model-{i + 1:05d}-of-{shards:05d}.safetensors" for i in range(shards)]
    names = names if shards > 1 else ["model.safetensors"]
    for i, name in enumerate(names):
        (path / name).write_bytes(safetensors({f"w{i}": ("BF16", (4, 8))}))
    if shards > 1:
        index = {"weight_map": {f"w{i}": name for i, name in enumerate(names)}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    for name, content in (files or {}).items():
        (path / name).write_bytes(content)
    return path
