"""What a model that no recipe knows takes from the one that it was made from: parsers, and how to sample."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from llmserve.models import recipes
from llmserve.models.model import Candidate, Model

_CARD, _CARD_BYTES = "README.md", 65_536
_NAMED = re.compile(r"^base_model:[ \t]*(?P<one>[^\s#\[]\S*)?(?P<many>(?:\n[ \t]*-[ \t]*\S+)*)", re.MULTILINE)


def named_by_card(folder: Path) -> tuple[str, ...]:
    """Repositories that the model card of a folder names as its origin; none where it has no card, or says nothing."""
    try:
        with (folder / _CARD).open(encoding="utf-8", errors="replace") as card:
            text = card.read(_CARD_BYTES)
    except OSError:
        return ()
    front = text[3:].partition("\n---")[0] if text.startswith("---") else ""
    found = _NAMED.search(front)
    if found is None:
        return ()
    listed = [line.strip(" \t-") for line in (found["many"] or "").splitlines()]
    return tuple(name.strip("'\"") for name in [found["one"] or "", *listed] if name)


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
