"""What a model that no recipe knows takes from the one that it was made from: parsers, and how to sample."""

from __future__ import annotations

from dataclasses import replace

from llmserve.models import recipes
from llmserve.models.model import Candidate, Model


def inherit(candidate: Candidate, model: Model) -> Model:
    """The model with what its relative among the recipes says; unchanged where it has a recipe of its own, or none."""
    if candidate.recipe is not None or model.random_weights:
        return model
    relative = recipes.relative(model.architecture, model.model_type, model.base_models, model.name)
    if relative is None:
        return model
    return replace(
        model, tool_call_parser=relative.tool_call_parser, reasoning_parser=relative.reasoning_parser,
        sampling=relative.sampling,
    )  # fmt: skip
