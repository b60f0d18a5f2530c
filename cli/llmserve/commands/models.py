"""``llmserve models``: the names that ``up`` knows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmserve.commands.options import Json, Quiet
from llmserve.models.cached import is_cached
from llmserve.models.recipes import GB, Recipe, catalogue
from llmserve.output.text import columns
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

HEADER = ("NAME", "PARAMETERS", "FORMATS", "SIZE", "LICENCE", "CACHED")
BEYOND = "Any other model: `llmserve up org/name`, a folder, or a .gguf file."


@app.command()
def models(
    cached: Annotated[bool, typer.Option("--cached", help="Only those that need no download.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """List the models that llmserve knows by name.

    Sizes are rough, one for each format. A gated licence has to be accepted on the hub before the first download.

    \b
    Examples:
      llmserve models
      llmserve models --cached    those that are on this disk
      llmserve models -q          names only
    """
    shown = [(recipe, _cached(recipe)) for recipe in catalogue()]
    shown = [(recipe, here) for recipe, here in shown if here or not cached]
    return Result(
        data={"models": [_data(recipe, here) for recipe, here in shown]},
        human=columns(HEADER, [_row(recipe, here) for recipe, here in shown]),
        quiet="\n".join(recipe.name for recipe, _ in shown),
        messages=(BEYOND,),
    )


def _cached(recipe: Recipe) -> list[str]:
    candidate = recipe.candidate()
    return [kind for kind in candidate.formats if is_cached(candidate, kind)]


def _row(recipe: Recipe, here: list[str]) -> tuple[str, ...]:
    built_in = not recipe.repos
    formats, sizes = zip(*((source.format, _size(source.size_bytes)) for source in recipe.sources), strict=True)
    licence = f"{recipe.license} (gated)" if recipe.gated else recipe.license
    cached = "built in" if built_in else ", ".join(here) or "-"
    return recipe.name, recipe.parameters, ", ".join(formats), "-" if built_in else ", ".join(sizes), licence, cached


def _size(size: int | None) -> str:
    return f"{(size or 0) / GB:.1f} GB"


def _data(recipe: Recipe, here: list[str]) -> dict[str, Any]:
    sources = [
        {"format": source.format, "repo": source.repo, "file": source.file, "size_bytes": source.size_bytes}
        for source in recipe.sources
    ]
    return {
        "name": recipe.name,
        "aliases": list(recipe.aliases),
        "family": recipe.family,
        "parameters": recipe.parameters,
        "license": recipe.license,
        "gated": recipe.gated,
        "context": recipe.context,
        "sources": sources,
        "cached": here,
    }
