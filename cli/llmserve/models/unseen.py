"""Models whose weights are out of reach, described for planning alone: from a configuration, or a recipe's figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmserve.models import architecture, assembly, files, variants
from llmserve.models.architecture import Architecture
from llmserve.models.files import INDEX, Files
from llmserve.models.headers import table
from llmserve.models.headers.blob import broken
from llmserve.models.headers.checkpoint import has_own_head
from llmserve.models.layers import StateLayers
from llmserve.models.model import Candidate, Model, Source
from llmserve.models.tensors import TensorGroup

OUT_OF_REACH = (
    "hub_offline", "hub_unreachable", "hub_interrupted", "hub_rate_limit", "hub_bad_answer", "gated", "token_rejected",
    "forbidden",
)  # fmt: skip
"""The errors after which a recipe's figures may stand in for what a hub would have said."""

_DTYPES = ("bfloat16", "float16", "half", "float32", "float", "float8_e4m3fn", "float64")
_AGREES = 0.1  # an index that is further off was copied from the checkpoint before its quantisation


def from_folder(candidate: Candidate, source: Source, here: Files) -> Model:
    """A model from ``config.json``, and the total of an index where there is one.

    Raises:
        LlmserveError: ``broken_checkpoint``: the configuration is missing, damaged, or says too little.
    """
    from llmserve.models import parameters

    config, place = files.read_json(here, "config.json"), f"{here.where}/config.json"
    index = files.read_index(here)
    shape = architecture.from_config(config, place)
    if index and shape.familiar:
        table.check_layers(index, here.where, layers=shape.layers)
        if has_own_head(here, config, shape):
            table.check_head(index, here.where)
    _check(config, shape, place)
    tensors = _scaled(
        parameters.tensor_groups(config, shape), _total(here), anyhow=not (shape.familiar or shape.quantization)
    )
    template = files.has_template(here) or not files.has_tokenizer(here)  # most have one
    return replace(assembly.model(candidate, source, shape, tensors), basis="config", chat_template=template)


def from_recipe(candidate: Candidate, source: Source) -> Model | None:
    """A model from the configuration in its recipe; None where the recipe has none that is of use."""
    if candidate.config is None or (source.format == "gguf" and not source.size_bytes):
        return None
    from llmserve.models import parameters

    shape = architecture.from_config(candidate.config, f"the recipe {candidate.recipe}")
    tensors = parameters.tensor_groups(candidate.config, shape)
    if source.format == "gguf":
        shape, tensors = _as_gguf(source, shape, tensors)
    model = assembly.model(candidate, source, shape, tensors)
    return replace(model, basis="recipe", missing_bytes=model.weight_bytes)


def _as_gguf(
    source: Source, shape: Architecture, tensors: tuple[TensorGroup, ...]
) -> tuple[Architecture, tuple[TensorGroup, ...]]:
    """The same model in a GGUF file of the recipe's size. Image encoders are files of their own."""
    name = (source.file or "").replace("*", "")
    kind = next((known for known in variants.PREFERRED if variants.fits(name, known)), None)
    language = tuple(group for group in tensors if group.role != "vision")
    shape = replace(shape, dtype="float16", quantization=kind, vision=None)
    return shape, _scaled(language, source.size_bytes or 0, anyhow=True, dtype=kind)


def _check(config: Mapping[str, Any], shape: Architecture, where: str) -> None:
    """Hold back where weights could only be guessed."""
    quantized = config.get("quantization_config") or {}
    attends = shape.cache and not any(isinstance(group, StateLayers) for group in shape.cache)
    if attends and not shape.intermediate_size and not shape.experts and shape.familiar:
        raise broken(where, "does not say 'intermediate_size'")
    if shape.quantization == "compressed-tensors" and not quantized.get("config_groups"):
        raise broken(where, "does not say how its weights are quantised ('config_groups')")
    if shape.dtype and shape.dtype not in _DTYPES and not shape.quantization:
        raise broken(where, f"gives 'torch_dtype' a value that makes no sense ({shape.dtype!r})")


def _total(here: Files) -> int:
    """Bytes of all tensors according to the index; 0 where it does not say them."""
    if INDEX not in here.sizes:
        return 0
    about = files.read_json(here, INDEX).get("metadata")
    total = about.get("total_size") if isinstance(about, dict) else None
    return int(total) if isinstance(total, (int, float)) and total > 0 else 0


def _scaled(
    tensors: tuple[TensorGroup, ...], total: int, *, anyhow: bool, dtype: str | None = None
) -> tuple[TensorGroup, ...]:
    """The groups with ``total`` bytes in all if that is near what they have, or ``anyhow``; stored as ``dtype``."""
    computed = sum(group.size_bytes for group in tensors)
    if not total or not computed or (abs(total - computed) > _AGREES * total and not anyhow):
        return tensors
    sizes = [group.size_bytes * total // computed for group in tensors]
    sizes[sizes.index(max(sizes))] += total - sum(sizes)
    return tuple(
        replace(group, size_bytes=size, dtype=dtype or group.dtype) for group, size in zip(tensors, sizes, strict=True)
    )
