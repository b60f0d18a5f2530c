"""The models that llmserve knows by name: one TOML file each in ``templates/models``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.models.model import Candidate, Format, Source

GB = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A known model. ``rank`` orders the choices for ``llmserve up`` without a name, the best first (0: never chosen).

    ``parameters`` and ``context`` (tokens) are for people; the plan reads the model's own headers.
    """

    name: str
    family: str
    parameters: str
    license: str
    context: int
    sources: tuple[Source, ...]
    aliases: tuple[str, ...] = ()
    gated: bool = False
    rank: int = 0
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None

    @property
    def repos(self) -> tuple[str, ...]:
        return tuple(source.repo for source in self.sources if source.repo)

    def candidate(self, ref: str | None = None, *, name: str | None = None) -> Candidate:
        return Candidate(
            ref=ref or self.name,
            name=name or self.name,
            sources=self.sources,
            recipe=self.name,
            gated=self.gated,
            tool_call_parser=self.tool_call_parser,
            reasoning_parser=self.reasoning_parser,
        )


@cache
def catalogue() -> tuple[Recipe, ...]:
    """All recipes by family, the small models first.

    Raises:
        ValueError: a file of the package is damaged.
    """
    recipes = [_load(path) for path in (paths.templates_dir() / "models").glob("*.toml")]
    return tuple(sorted(recipes, key=lambda recipe: (recipe.family, recipe.sources[0].size_bytes or 0, recipe.name)))


def ranked() -> list[Recipe]:
    """The recipes that may be chosen for a user who named none, the best first."""
    return sorted((recipe for recipe in catalogue() if recipe.rank), key=lambda recipe: recipe.rank)


def _load(path: Path) -> Recipe:
    try:
        return _recipe(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a recipe: {error}") from error


def _recipe(table: dict[str, Any]) -> Recipe:
    sglang: dict[str, Any] = table.pop("sglang", {})
    aliases = tuple(table.pop("aliases", ()))
    kinds: tuple[Format, ...] = ("safetensors", "gguf")
    sources = tuple(_source(kind, table.pop(kind)) for kind in kinds if kind in table)
    return Recipe(aliases=aliases, sources=sources, **table, **sglang)


def _source(kind: Format, table: dict[str, Any]) -> Source:
    size = table.pop("size_gb")
    return Source(format=kind, size_bytes=round(size * GB), **table)
