"""The built-in model as a Hugging Face folder: configuration, tokenizer and safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from llmserve.models.builtin import spec
from llmserve.models.builtin.bpe import Vocabulary
from llmserve.models.builtin.encode import bfloat16
from llmserve.models.builtin.weights import Tensor

CHAT_TEMPLATE = """\
{%- set first = messages[0]['content'] if messages and messages[0]['role'] == 'system' else '' -%}
{%- if tools or first -%}
{{- '<|im_start|>system\\n' + first -}}
{%- if tools -%}
{{- ('\\n\\n' if first else '') + 'You may call these functions:\\n<tools>' -}}
{%- for tool in tools -%}
{{- '\\n' + (tool | tojson) -}}
{%- endfor -%}
{{- '\\n</tools>\\nTo call one, write:\\n<tool_call>\\n{"name": "...", "arguments": {...}}\\n</tool_call>' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' and loop.first -%}
{%- elif message['role'] == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + message['content'] + '\\n</tool_response><|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') -}}
{%- for call in message['tool_calls'] or [] -%}
{%- set function = call['function'] -%}
{{- '\\n<tool_call>\\n{"name": "' + function['name'] + '", "arguments": ' -}}
{{- (function['arguments'] if function['arguments'] is string else function['arguments'] | tojson) + '}' -}}
{{- '\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""

_END, _TURN_END = spec.SPECIAL_TOKENS.index(spec.END_OF_TEXT), spec.SPECIAL_TOKENS.index(spec.TURN_END)
_SPECIAL_MAP = {"bos_token": spec.END_OF_TEXT, "eos_token": spec.TURN_END, "pad_token": spec.END_OF_TEXT}


def files(vocabulary: Vocabulary, tensors: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Name and content of every file of the folder."""
    documents = {
        "config.json": spec.config(),
        "generation_config.json": _generation_config(),
        "tokenizer.json": _tokenizer(vocabulary),
        "tokenizer_config.json": _tokenizer_config(),
        "special_tokens_map.json": _SPECIAL_MAP,
    }
    texts = {name: (json.dumps(content, indent=2) + "\n").encode() for name, content in documents.items()}
    return texts | {"model.safetensors": _safetensors(tensors)}


def _generation_config() -> dict[str, Any]:
    return {"bos_token_id": _END, "eos_token_id": [_TURN_END, _END], "pad_token_id": _END, "do_sample": True}


def _tokenizer_config() -> dict[str, Any]:
    return _SPECIAL_MAP | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": spec.CONTEXT,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": token} | flags for i, token in enumerate(spec.SPECIAL_TOKENS)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level | {"trim_offsets": False},
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(vocabulary.tokens)},
            "merges": [f"{left} {right}" for left, right in vocabulary.merges],
        },
    }


def _safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts: list[bytes] = []
    offset = 0
    for name, tensor in sorted(tensors.items()):
        parts.append(bfloat16(tensor))
        end = offset + len(parts[-1])
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts aligned
    return struct.pack("<Q", len(text)) + text + b"".join(parts)
