"""What a model that no recipe knows takes from the one that it was made from: parsers, and how to sample."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmserve.models.model import Candidate, Model
from llmserve.models.recipes import Recipe, mentioning, named, normal, spaced, within

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
    found = relative(model.architecture, model.model_type, model.base_models, model.name)
    if found is None:
        return model
    return replace(
        model, tool_call_parser=found.tool_call_parser, reasoning_parser=found.reasoning_parser,
        sampling=found.sampling,
    )  # fmt: skip


def relative(architecture: str, model_type: str, base_models: Sequence[str], name: str) -> Recipe | None:
    """The recipe of the model that an unknown one was made from: its parsers and sampling hold for both.

    ``base_models`` are repositories as a model card names them, the nearest first; ``name`` is the model's own. Names
    that hold a known model's are taken next (``my-qwen3-8b-v2``), then architectures that one family alone has. A
    recipe of another architecture is no relative. Asks no network.
    """
    names = [*base_models, name]
    found = (_by_repo(given) or _within(given) for given in names)
    fitting = (recipe for recipe in found if recipe and _same(recipe, architecture, model_type))
    return next(fitting, None) or named(_FAMILIES.get(model_type, "") or "-")


_FAMILIES = {
    "deepseek_v32": "deepseek-v3.2", "gemma3": "gemma-3-12b", "gemma3_text": "gemma-3-1b", "gemma4": "gemma-4-31b",
    "glm4_moe": "glm-4.5-air", "glm_moe_dsa": "glm-5", "gpt_oss": "gpt-oss-20b", "kimi_k2": "kimi-k2",
    "kimi_k25": "kimi-k2.5", "llama4": "llama-4-scout", "qwen3": "qwen3-8b", "qwen3_5": "qwen3.5-27b",
    "qwen3_5_moe": "qwen3.5-35b-a3b", "qwen3_moe": "qwen3-30b-a3b", "qwen3_next": "qwen3-next-80b-a3b",
    "qwen3_vl": "qwen3-vl-8b", "qwen3_vl_moe": "qwen3-vl-30b-a3b",
}  # fmt: skip
"""Who speaks for a ``model_type`` that only one family has, by the name of a recipe."""


def _by_repo(repo: str) -> Recipe | None:
    wanted = normal(repo)
    for recipe in mentioning(repo):
        known = (*recipe.repos, *(variant.repo for variant in recipe.variants), *recipe.aliases, recipe.ungated)
        if any(name and normal(name) == wanted for name in known):
            return recipe
    return None


def _within(name: str) -> Recipe | None:
    """The recipe whose name stands in ``name`` as whole words; the longest such."""
    words = f"-{spaced(name)}-"
    found = [(len(spelling), recipe) for spelling, recipe in _distinctive(within(words)) if f"-{spelling}-" in words]
    return max(found, key=lambda item: item[0])[1] if found else None


def _distinctive(among: Iterable[Recipe]) -> Iterator[tuple[str, Recipe]]:
    """Names that say the size or the version, which a family's plain alias (``kimi``) does not."""
    for recipe in among:
        own = (repo for repo in recipe.repos if "gguf" not in repo.lower())
        for name in map(spaced, (recipe.name, *own)):
            if re.search(r"\d", name):
                yield name, recipe


def _same(recipe: Recipe, architecture: str, model_type: str) -> bool:
    config = recipe.config
    if config is None or not (architecture or model_type):
        return True
    return architecture in config["architectures"] or model_type in (config["model_type"], *_inner_type(config))


def _inner_type(config: Mapping[str, Any]) -> list[str]:
    inner = config.get("text_config")
    return [inner["model_type"]] if inner and "model_type" in inner else []
