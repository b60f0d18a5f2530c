"""What a model's own description says about its shape: ``config.json``, or the metadata of a GGUF file.

Unknown architectures are described like any other; whether an engine can serve them is for the engine to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmserve.models import ggml
from llmserve.models.blob import broken
from llmserve.models.gguf import Header

_CONTEXT = (  # SGLang's order (get_context_length), then GPT-2's name
    "max_sequence_length", "seq_length", "max_seq_len", "model_max_length", "max_position_embeddings", "n_positions",
)  # fmt: skip
_SGLANG_CONTEXT = 2048  # what SGLang assumes where a configuration says nothing
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "multi_query_group_num")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_INTERMEDIATE = ("intermediate_size", "ffn_hidden_size", "n_inner")
_OTHER_ATTENTION = (  # latent, windowed, chunked, cross and linear attention
    "kv_lora_rank", "attention_chunk_size", "cross_attention_layers", "layers_block_type", "full_attention_interval",
    "hybrid_override_pattern", "attn_layer_indices", "linear_num_value_heads", "mamba_d_state", "mamba_num_heads",
    "ssm_cfg", "sliding_window_pattern", "index_topk", "is_encoder_decoder",
)  # fmt: skip
_OTHER_GGUF = ("attention.sliding_window", "attention.kv_lora_rank", "ssm.state_size", "attention.indexer.top_k")

Attention = Literal["gqa", "other"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The figures of ``Model`` that come from a description; ``dtype`` is empty where it says none."""

    name: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    context_length: int
    attention: Attention
    dtype: str = ""
    quantization: str | None = None


def from_config(config: Mapping[str, Any], where: str) -> Architecture:
    """Read a Hugging Face ``config.json``; multimodal models keep the language model under ``text_config``.

    Raises:
        LlmserveError: ``broken_checkpoint``, naming the field that is missing or senseless.
    """
    inner = config.get("text_config")
    inner = {key: value for key, value in inner.items() if value is not None} if isinstance(inner, dict) else {}
    fields = _Fields(dict(config) | inner, where)
    heads, hidden = fields.number(*_HEADS), fields.number(*_HIDDEN)
    multi_query = 1 if fields.values.get("multi_query") is True else heads
    names = config.get("architectures")
    return Architecture(
        name=str(names[0]) if isinstance(names, list) and names else str(config.get("model_type", "unknown")),
        layers=fields.number(*_LAYERS),
        heads=heads,
        kv_heads=fields.number(*_KV_HEADS, default=multi_query),
        head_dim=fields.number("head_dim", default=max(1, hidden // heads)),
        hidden_size=hidden,
        intermediate_size=fields.number(*_INTERMEDIATE, default=0),
        vocab_size=fields.number("vocab_size"),
        context_length=_context(fields),
        attention=_attention(fields),
        dtype=str(fields.values.get("torch_dtype") or fields.values.get("dtype") or "").removeprefix("torch."),
        quantization=_quantization(fields.values),
    )


def from_gguf(header: Header, where: str) -> Architecture:
    """Read the metadata of a GGUF file.

    Raises:
        LlmserveError: ``broken_checkpoint``, naming the key that is missing or senseless.
    """
    name = header.metadata.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise broken(where, "does not say 'general.architecture'")
    fields = _Fields(header.metadata, where, prefix=f"{name}.")
    heads, hidden = fields.number("attention.head_count"), fields.number("embedding_length")
    head_dim = fields.number("attention.key_length", default=max(1, hidden // heads))
    other = any(fields.values.get(f"{name}.{key}") for key in _OTHER_GGUF) or fields.varied
    dtype, quantization = _gguf_types(header)
    return Architecture(
        name=name,
        layers=fields.number("block_count"),
        heads=heads,
        kv_heads=fields.number("attention.head_count_kv", default=heads),
        head_dim=max(head_dim, fields.number("attention.value_length", default=head_dim)),
        hidden_size=hidden,
        intermediate_size=fields.number("feed_forward_length", default=0),
        vocab_size=header.lengths.get("tokenizer.ggml.tokens") or fields.number("vocab_size"),
        context_length=fields.number("context_length"),
        attention="other" if other or fields.varied else "gqa",
        dtype=dtype,
        quantization=quantization,
    )


class _Fields:
    """Positive whole numbers by name. Where layers differ the largest counts, and ``varied`` is set."""

    def __init__(self, values: Mapping[str, Any], where: str, prefix: str = "") -> None:
        self.values = values
        self.where = where
        self.prefix = prefix
        self.varied = False

    def number(self, *names: str, default: int | None = None) -> int:
        for name in names:
            value = self.values.get(self.prefix + name)
            if value is not None:
                return self._positive(self.prefix + name, value)
        if default is None:
            raise broken(self.where, f"does not say {self.prefix + names[0]!r}")
        return default

    def _positive(self, name: str, value: Any) -> int:
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        if not numbers or not all(type(number) is int and number >= 0 for number in numbers) or not max(numbers):
            raise broken(self.where, f"gives {name!r} a value that makes no sense")
        self.varied = self.varied or len(set(numbers)) > 1
        return int(max(numbers))


def _context(fields: _Fields) -> int:
    """Tokens as SGLang derives them: scaled positions only where the configuration does not say the scaled figure."""
    length = fields.number(*_CONTEXT, default=_SGLANG_CONTEXT)
    rope = fields.values.get("rope_scaling") or fields.values.get("rope_parameters")
    if not isinstance(rope, dict) or "original_max_position_embeddings" in rope:
        return length
    kind, factor = rope.get("rope_type") or rope.get("type"), rope.get("factor", 1)
    already = kind == "llama3" or str(fields.values.get("model_type", "")).startswith("gemma3")
    if already or not isinstance(factor, (int, float)) or not 1 <= factor < 10_000:
        return length
    return int(length * factor)


def _attention(fields: _Fields) -> Attention:
    values = fields.values
    kinds = values.get("layer_types")
    mixed = isinstance(kinds, list) and any(kind != "full_attention" for kind in kinds)
    if fields.varied or mixed or any(values.get(key) for key in _OTHER_ATTENTION) or _window(fields):
        return "other"
    return "gqa"


def _window(fields: _Fields) -> bool:
    """Whether a sliding window takes effect. Qwen writes one that is off, and some are as long as the context."""
    window = fields.values.get("sliding_window")
    off = str(fields.values.get("model_type", "")).startswith("qwen")
    used = fields.values.get("use_sliding_window", not off)
    return bool(used) and type(window) is int and 0 < window < _context(fields)


def _quantization(values: Mapping[str, Any]) -> str | None:
    config = values.get("quantization_config") or values.get("compression_config")
    if not isinstance(config, dict):
        return None
    method = config.get("quant_method") or config.get("quant_algo")
    return str(method) if method else "unknown"


def _gguf_types(header: Header) -> tuple[str, str | None]:
    """dtype of the cache, and the name of the mixture (None where nothing is quantised)."""
    number = header.metadata.get("general.file_type")
    sizes = header.bytes_by_type
    name = ggml.FILE_TYPES.get(number) if type(number) is int else None
    name = name or max(sizes, key=lambda kind: sizes[kind], default="unknown")
    return (ggml.PLAIN[name], None) if name in ggml.PLAIN else ("float16", name)
