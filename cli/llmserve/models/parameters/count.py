"""Weights computed from ``config.json`` alone, for models whose headers are not at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from llmserve.models.architecture.shape import Architecture
from llmserve.models.layers import AttentionLayers, CacheLayers, CompressedLayers, LatentLayers, StateLayers
from llmserve.models.parameters.feed_forward import experts, feed_forward, layer_counts, network
from llmserve.models.parameters.mixers import layer_groups, mixers, of_group
from llmserve.models.parameters.modules import Config, Module
from llmserve.models.parameters.quantized import chosen
from llmserve.models.parameters.towers import tower
from llmserve.models.tensors import Role, TensorGroup

_PLAIN = {"bfloat16": ("BF16", 2), "float16": ("F16", 2), "float32": ("F32", 4), "half": ("F16", 2)}
_POSITIONS = (
    "gpt2",
    "opt",
    "gpt_bigcode",
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "electra",
    "whisper",
)
_NORMS = {"gemma2": 4, "gemma3*": 4, "gemma3n*": 4, "gemma4*": 5, "glm4": 4}


def tensor_groups(config: Mapping[str, Any], shape: Architecture) -> tuple[TensorGroup, ...]:
    """The bytes that a checkpoint with this ``config.json`` has, by role and stored type, the largest first.

    Exact for familiar architectures without quantisation, but for a few numbers per layer; quantised ones are as exact
    as the configuration is. Repeated embeddings in layers for multi-token prediction are left out: engines share them.
    """
    parts = modules(config, shape)
    scheme_of = chosen(config, parts)
    dtype, width = _PLAIN.get(shape.dtype, ("BF16", 2))
    sizes: Counter[tuple[Role, str]] = Counter()
    for part in parts:
        scheme, kept = scheme_of(part)
        layers = part.layers - kept if scheme else 0
        kind, size = ("F32", 4) if part.dtype == "F32" else (dtype, width)
        sizes[part.role, kind] += part.outputs * part.inputs * size * part.copies * (part.layers - layers)
        sizes[part.role, kind] += part.bias * size * part.copies * part.layers
        for stored, count in scheme.stored(part.outputs, part.inputs).items() if scheme else ():
            sizes[part.role, stored] += count * part.copies * layers
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return tuple(TensorGroup(role=role, dtype=kind, size_bytes=size) for (role, kind), size in ranked if size)


def modules(config: Mapping[str, Any], shape: Architecture) -> tuple[Module, ...]:
    """Every matrix of the model. Their ``numbers`` add up to the parameters that model cards state."""
    fields = Config(config)
    kind = str(config.get("model_type", ""))
    parts = [
        *_ends(fields, shape), *mixers(fields, shape), *feed_forward(fields, shape), *_norms(fields, shape),
        *_per_layer_inputs(fields, shape), *tower(fields, shape, kind), *_draft(fields, shape),
    ]  # fmt: skip
    return tuple(part for part in parts if part.layers > 0 and part.numbers > 0)


def _ends(config: Config, shape: Architecture) -> Iterator[Module]:
    hidden, vocabulary = shape.hidden_size, shape.vocab_size
    narrow = config.number("embedding_size", "word_embed_proj_dim", default=hidden)
    yield Module(role="embedding", name="model.embed_tokens", outputs=vocabulary, inputs=narrow)
    if config.is_like(*_POSITIONS):
        positions = config.number("max_position_embeddings", "n_positions", "max_target_positions")
        kinds = config.number("type_vocab_size")
        yield Module(role="embedding", name="model.embed_positions", outputs=positions + kinds, inputs=hidden)
    if _has_head(shape) and not shape.tied_embeddings:
        yield Module(role="head", name="lm_head", outputs=vocabulary, inputs=hidden)


def _has_head(shape: Architecture) -> bool:
    """Classes that end in Model, or that grade texts, have none. Qwen3-Embedding is a ``ForCausalLM``, and ties it."""
    without = ("Model", "ForSequenceClassification", "ForRewardModel", "ForTokenClassification", "RewardModel")
    return not shape.name.endswith(without) or shape.name.endswith(("LMHeadModel", "ChatModel"))


def _norms(config: Config, shape: Architecture) -> Iterator[Module]:
    per_layer = next((count for family, count in _NORMS.items() if config.is_like(family)), 2)
    doubled = (
        2 if config.is_like("gpt2", "opt", "bert", "roberta", "xlm-roberta", "gpt_neox", "starcoder2", "phi") else 1
    )
    yield Module(
        role="norm", name="model.layers.{}.norm", outputs=per_layer * doubled * shape.hidden_size, layers=shape.layers
    )
    yield Module(role="norm", name="model.norm", outputs=doubled * shape.hidden_size)


def _per_layer_inputs(config: Config, shape: Architecture) -> Iterator[Module]:
    """A second embedding that feeds every layer: Gemma 3n, Gemma 4 E2B and E4B."""
    width = config.number("hidden_size_per_layer_input")
    if not width or not config.is_like("gemma3n*", "gemma4*"):
        return
    rows = config.number("vocab_size_per_layer_input", default=shape.vocab_size)
    yield Module(role="embedding", name="model.embed_tokens_per_layer", outputs=rows, inputs=shape.layers * width)
    yield Module(
        role="other", name="model.per_layer_model_projection", outputs=shape.layers * width, inputs=shape.hidden_size
    )
    yield Module(
        role="other", name="model.layers.{}.per_layer_input_gate", outputs=2 * width, inputs=shape.hidden_size,
        layers=shape.layers,
    )  # fmt: skip


def _draft(config: Config, shape: Architecture) -> Iterator[Module]:
    """Layers for multi-token prediction: like the last layer with attention, behind a projection of two vectors."""
    attention = [group for group in layer_groups(shape) if not isinstance(group, StateLayers)]
    if not shape.mtp_layers or not attention:
        return
    layers = shape.mtp_layers
    alone = replace(shape, layers=layers)
    parts = list(of_group(config, alone, _cut(attention[0], layers)))
    _, sparse = layer_counts(config, shape)
    if shape.experts is not None and sparse:
        parts += experts(config, alone, shape.experts, layers)
    else:
        parts += network(
            config, "mlp", "model.layers.{}.mlp.", shape.hidden_size, shape.intermediate_size, layers=layers
        )
    parts.append(
        Module(role="draft", name="eh_proj", outputs=shape.hidden_size, inputs=2 * shape.hidden_size, layers=layers,
               plain=True)
    )  # fmt: skip
    for part in parts:
        yield replace(part, role="draft", name=f"mtp.{part.name}", plain=part.plain or part.role in ("router", "norm"))


def _cut(group: CacheLayers, layers: int) -> CacheLayers:
    """The same kind of layers, but only so many."""
    if isinstance(group, CompressedLayers):
        return replace(group, ratios=(0,) * layers)
    if isinstance(group, LatentLayers):
        return replace(group, layers=layers, index_layers=min(layers, group.index_layers))
    if isinstance(group, AttentionLayers):
        return replace(group, layers=layers, shares=0)
    return replace(group, layers=layers)
