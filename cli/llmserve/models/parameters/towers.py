"""Matrices of the image encoder in front of a language model. Small beside it: a few hundred million numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmserve.models.architecture.shape import Architecture
from llmserve.models.parameters.modules import Config, Module

_GATED = ("qwen2_5_vl*", "qwen2_5_omni*", "pixtral", "gemma4*", "mistral3")
_MERGED = ("qwen*", "glm4v*", "kimi*", "internvl*", "step3*")  # four neighbours become one token before the projection
_SIGLIP = {"hidden_size": 1152, "num_hidden_layers": 27, "intermediate_size": 4304}
_OMITTED = {
    "kimi": _SIGLIP,  # MoonViT has its shape
    "gemma": _SIGLIP,
    "qwen3_5": _SIGLIP,
    "llama4": {"hidden_size": 1408, "num_hidden_layers": 34, "intermediate_size": 5632},
    "mllama": {"hidden_size": 1280, "num_hidden_layers": 32, "num_global_layers": 8, "intermediate_size": 5120},
    "pixtral": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
    "mistral3": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
    "qwen2_vl": {"embed_dim": 1280, "depth": 32},
}
"""What a configuration leaves out because it is the default of its class in transformers."""


def tower(config: Config, shape: Architecture, kind: str) -> Iterator[Module]:
    """The encoder in ``vision_config`` and its projection; ``kind`` is the model type of the whole model."""
    vision = config.vision if isinstance(config.vision, Mapping) else _cut_off(config, kind)
    if vision is None:
        return
    omitted = next((said for family, said in _OMITTED.items() if kind.startswith(family)), {})
    fields = Config({})
    fields.values = dict(omitted) | _said(vision)
    width = fields.number("embed_dim", "vt_hidden_size", "width") if kind == "qwen2_vl" else 0
    width = width or fields.number("hidden_size", "vt_hidden_size", "embed_dim", "width", "d_model")
    layers = fields.number("depth", "num_hidden_layers", "vt_num_hidden_layers", "layers", "encoder_layers")
    layers += fields.number("num_global_layers")
    if not (width and layers):
        return
    inner = fields.number("intermediate_size", "vt_intermediate_size", "mlp_dim", "encoder_ffn_dim")
    inner = inner or int(width * _ratio(fields.values.get("mlp_ratio")))
    like = Config({"model_type": kind})
    matrices = 3 if like.is_like(*_GATED) else 2
    yield _vision("blocks", 4 * width * width + matrices * width * inner + 9 * width + inner, layers)
    patch = fields.number("patch_size", "patch_embed_size", default=14)
    yield _vision("patch_embed", width * 3 * patch * patch * max(1, fields.number("temporal_patch_size", default=1)))
    positions = fields.number(
        "num_position_embeddings", default=2304 if kind.startswith(("qwen3_vl", "qwen3_5")) else 0
    )
    yield _vision("pos_embed", width * positions)
    merged = width * fields.number("spatial_merge_size", default=2) ** 2 if like.is_like(*_MERGED) else width
    out = fields.number("out_hidden_size", default=shape.hidden_size)
    deep = fields.values.get("deepstack_visual_indexes")
    mergers = 1 + (len(deep) if isinstance(deep, list) else 3 if kind.startswith("qwen3_vl") else 0)
    yield _vision("merger", merged * (merged if like.is_like(*_MERGED) else out) + merged * out, mergers)


def _cut_off(config: Config, kind: str) -> Mapping[str, Any] | None:
    """The section of a language model standing alone, without ``architectures``, is cut out of a model with a tower."""
    whole = config.values.get("architectures") or not kind.endswith("_text")
    return None if whole or not config.is_like("qwen3_5*", "gemma4*") else {}


def _vision(name: str, numbers: int, layers: int = 1) -> Module:
    return Module(role="vision", name=f"model.visual.{name}", outputs=numbers, layers=layers, plain=True)


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _ratio(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 < value < 100 else 4.0
