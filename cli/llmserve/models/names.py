"""Finding a recipe by what people type, and the nearest names when there is none."""

from __future__ import annotations

from collections.abc import Iterable

from llmserve.models.model import Format
from llmserve.models.recipes import Recipe, catalogue, mentioning, named, normal

__all__ = ["find", "hint", "nearest", "normal", "spellings"]


def find(name: str) -> tuple[Recipe, Format | None] | None:
    """The recipe known as ``name``, an alias, or one of its repositories.

    The second item is set where the name stands for one format alone: a GGUF repository, or ``NAME-gguf``.
    """
    exact = named(name)  # one file to read instead of all
    return (exact, None) if exact else spellings(mentioning(name)).get(normal(name))


def spellings(among: Iterable[Recipe]) -> dict[str, tuple[Recipe, Format | None]]:
    """Every normalised name under which one of the recipes is found."""
    found: dict[str, tuple[Recipe, Format | None]] = {}
    for recipe in among:
        short = [repo.rsplit("/", 1)[-1] for repo in recipe.repos if not repo.lower().endswith("gguf")]
        for name in (recipe.name, f"{recipe.name}-instruct", *recipe.aliases, *short):
            found[normal(name)] = (recipe, None)
            found[normal(f"{name}-gguf")] = (recipe, "gguf")
        for source in recipe.sources:
            if source.repo:
                found[normal(source.repo)] = (recipe, "gguf" if source.format == "gguf" else None)
    return found


def nearest(ref: str, count: int = 3) -> list[str]:
    """Known names that look like ``ref``, the most similar first."""
    import difflib

    names = {normal(name): recipe.name for recipe in catalogue() for name in (recipe.name, *recipe.aliases)}
    matches = difflib.get_close_matches(normal(ref.rsplit("/", 1)[-1]), names, n=2 * count, cutoff=0.5)
    return list(dict.fromkeys(names[match] for match in matches))[:count]


def hint(ref: str) -> str:
    """What to type instead of ``ref``."""
    near = nearest(ref)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}The known names: `llmserve models`. Others are org/name on the hub, a folder, or a .gguf file."
