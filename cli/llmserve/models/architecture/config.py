"""What a ``config.json`` says about a model's shape; :mod:`gguf_metadata` reads the same from a GGUF file.

Unknown architectures are described like any other from the fields that all have, and marked as not familiar;
whether an engine can serve them is for the engine to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmserve.models.architecture import families
from llmserve.models.architecture.cache_layout import cache_layers
from llmserve.models.architecture.expert_layers import experts
from llmserve.models.architecture.fields import Fields
from llmserve.models.architecture.head_shapes import HEADS, HIDDEN, head_dim, kv_heads
from llmserve.models.architecture.language import language_model
from llmserve.models.architecture.layer_kinds import known_words, layer_count
from llmserve.models.architecture.quantization import quantization
from llmserve.models.architecture.shape import Architecture
from llmserve.models.layers import AttentionLayers, CacheLayers, StateLayers, Vision

_CONTEXT = (  # SGLang's order (get_context_length), then GPT-2's name
    "max_sequence_length", "seq_length", "max_seq_len", "model_max_length", "max_position_embeddings", "n_positions",
)  # fmt: skip
_SGLANG_CONTEXT = 2048  # what SGLang assumes where a configuration says nothing
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_INTERMEDIATE = ("intermediate_size", "ffn_hidden_size", "n_inner")
_MTP = (
    "num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers", "mtp_num_layers", "num_mtp_modules",
    "n_mtp_layers",
)  # fmt: skip
_VISION = ("vision_config", "vision_encoder", "visual", "mm_vision_tower", "vision_tower")


def from_config(config: Mapping[str, Any], where: str) -> Architecture:
    """Read a Hugging Face ``config.json``.

    Raises:
        LlmserveError: ``broken_checkpoint``, naming the field that is missing or senseless.
    """
    fields = Fields(language_model(config), where)
    names, kind = config.get("architectures"), str(config.get("model_type") or fields.get("model_type") or "")
    name = str(names[0]) if isinstance(names, list) and names else kind or "unknown"
    inner = str(fields.get("model_type") or kind)
    layers, hidden = layer_count(fields, *_LAYERS), fields.number(*HIDDEN)
    encoder = families.encoder(name, inner)
    cache, said = ((), True) if encoder else cache_layers(fields, layers)
    heads, main_kv_heads, main_head_dim = _heads(fields, cache)
    quantized = quantization(config if config.get("quantization_config") else fields.values, where)
    return Architecture(
        name=name,
        layers=layers,
        heads=heads,
        kv_heads=main_kv_heads,
        head_dim=main_head_dim,
        hidden_size=hidden,
        intermediate_size=fields.count(*_INTERMEDIATE),
        vocab_size=fields.number("vocab_size", "padded_vocab_size"),
        context_length=_context(fields),
        dtype=_dtype(fields),
        quantization=quantized.method,
        task=families.task(fields.values, name),
        model_type=kind,
        familiar=said and known_words(fields) and families.familiar(name, kind, inner),
        cache=cache,
        experts=experts(fields, layers),
        vision=_vision(config),
        tied_embeddings=_tied(fields, inner),
        mtp_layers=fields.count(*_MTP),
        weight_block=quantized.weight_block,
        group_size=quantized.group_size,
        kv_cache_dtype=quantized.kv_cache_dtype,
    )


def _heads(fields: Fields, cache: tuple[CacheLayers, ...]) -> tuple[int, int, int]:
    """Query heads, key heads and their width in the layers that see everything; zeros without attention."""
    if cache and all(isinstance(group, StateLayers) for group in cache):
        return 0, 0, 0
    groups = [group for group in cache if isinstance(group, AttentionLayers)]
    groups = [group for group in groups if group.window is None] or groups
    if not groups:
        return fields.number(*HEADS), kv_heads(fields), head_dim(fields)
    main = max(groups, key=lambda group: group.kv_heads)
    return fields.number(*HEADS), main.kv_heads, main.key_dim


def _context(fields: Fields) -> int:
    """Tokens as SGLang derives them: scaled positions only where the configuration does not say the scaled figure."""
    length = fields.number(*_CONTEXT, default=_SGLANG_CONTEXT)
    rope = fields.get("rope_scaling", "rope_parameters")
    if not isinstance(rope, dict) or "original_max_position_embeddings" in rope:
        return length
    kind, factor = rope.get("rope_type") or rope.get("type"), rope.get("factor", 1)
    already = kind == "llama3" or str(fields.get("model_type") or "").startswith("gemma3")
    if already or not isinstance(factor, (int, float)) or not 1 <= factor < 10_000:
        return length
    return int(length * factor)


def _dtype(fields: Fields) -> str:
    said = fields.get("torch_dtype", "dtype")
    return said.removeprefix("torch.") if isinstance(said, str) else ""


def _vision(config: Mapping[str, Any]) -> Vision | None:
    """The encoder of images, where there is one; Qwen Omni keeps it one level deeper."""
    thinker = config.get("thinker_config")
    outer = thinker if isinstance(thinker, dict) else config
    found = next((outer[name] for name in _VISION if outer.get(name) is not None), None)
    if found is None:
        return None
    fields = Fields(found if isinstance(found, dict) else {}, "vision_config")
    return Vision(
        layers=_figure(fields, "num_hidden_layers", "depth", "layers", "vt_num_hidden_layers", "num_layers"),
        hidden_size=_figure(fields, "embed_dim", "width", "vt_hidden_size", "hidden_size"),
        heads=_figure(fields, "num_heads", "num_attention_heads", "vt_num_attention_heads"),
        named_layers=_figure(fields, "num_hidden_layers"),
        named_width=_figure(fields, "hidden_size"),
    )


def _figure(fields: Fields, *names: str) -> int:
    """A figure that helps an estimate but is not needed: nonsense counts as not said."""
    value = fields.get(*names)
    return value if type(value) is int and value > 0 else 0


def _tied(fields: Fields, model_type: str) -> bool:
    said = fields.get("tie_word_embeddings")
    return bool(said) if said is not None else families.tied(model_type)
