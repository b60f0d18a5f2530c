"""The language model inside a ``config.json``: multimodal models keep its figures in a section of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SECTIONS = ("thinker_config", "llm_config", "language_config", "text_config")  # SGLang's order (get_hf_text_config)

_OMITTED: Mapping[str, Mapping[str, Any]] = {
    "llama": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "max_position_embeddings": 2048,
    },
    "mistral": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
    },
    "qwen2": {
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768,
    },
    "gemma": {
        "vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "max_position_embeddings": 8192,
    },
    "gemma2": {
        "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192,
        "sliding_window": 4096,
    },
    "gemma3_text": {
        "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "gemma3n_text": {
        "vocab_size": 262400, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 35,
        "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "max_position_embeddings": 32768,
        "sliding_window": 512, "num_kv_shared_layers": 15,
    },
    "gemma4_text": {
        "vocab_size": 262144, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 30,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
        "sliding_window": 512,
    },
    "llama4_text": {
        "vocab_size": 202048, "hidden_size": 5120, "intermediate_size": 8192, "num_hidden_layers": 48,
        "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 131072,
        "attention_chunk_size": 8192, "num_local_experts": 16, "num_experts_per_tok": 1,
    },
    "mllama_text_model": {
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 40,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
    },
    "deepseek_v2": {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "v_head_dim": 128, "num_experts_per_tok": 6},
}  # fmt: skip
"""What sections leave out because it is the default of their class in transformers (whole files say it)."""


def language_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the language model, and those of the whole where it is silent."""
    inner = _section(config)
    said = {key: value for key, value in inner.items() if value is not None}
    omitted = _OMITTED.get(str(inner.get("model_type")), {}) if inner else {}
    omitted = {key: value for key, value in omitted.items() if key not in inner}
    return omitted | dict(config) | said


def normal(name: str) -> str:
    """A model type or architecture name without its spelling: ``qwen3_vl_text`` and ``Qwen3VLForX`` are ``qwen3vl``."""
    stem = re.sub(r"(For[A-Z0-9]\w*|LMHeadModel|TextModel|ChatModel|Model)$", "", name)
    return re.sub(r"[^a-z0-9]", "", re.sub(r"_text(_model)?$", "", stem.lower()))


def _section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    names = config.get("architectures")
    if isinstance(names, list) and names and re.match(r"Llava\w*ForCausalLM$", str(names[0])):
        return {}  # the old Llava: its fields stand outside, the section is an unused default
    for name in _SECTIONS:
        section = config.get(name)
        if isinstance(section, dict) and section:
            inner = section.get("text_config")
            return inner if isinstance(inner, dict) and inner else section
    return {}
