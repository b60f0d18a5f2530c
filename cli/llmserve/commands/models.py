"""``llmserve models``: the names that ``up`` knows, and what of them fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from llmserve import hardware
from llmserve.commands.options import Json, Quiet
from llmserve.errors import UsageError
from llmserve.models import names
from llmserve.models.cached import is_cached
from llmserve.models.model import Candidate
from llmserve.models.recipes import GB, Recipe, catalogue, named
from llmserve.output.text import columns
from llmserve.plan import rough
from llmserve.plan.rough import Fit
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

HEADER = ("NAME", "SIZE", "CONTEXT", "FITS", "NOTES")
BEYOND = "FITS is rough; `llmserve plan NAME` is exact. Others: `llmserve up org/name`, a folder, or a .gguf file."


@app.command()
def models(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only models with all these words in their names.")
    ] = None,
    cached: Annotated[bool, typer.Option("--cached", help="Only those that need no download.")] = False,
    fits: Annotated[bool, typer.Option("--fits", help="Only those that fit.")] = False,
    machine: Annotated[
        str | None, typer.Option("--machine", metavar="NAME", help="Look at a machine profile, not at this machine.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """List the models that llmserve knows by name, or describe one.

    FITS says what would be served: the full model, on how many GPUs, a quantised one, or a GGUF file in host memory;
    else how much GPU memory it needs. A gated licence has to be accepted on the hub before the first download.

    \b
    Examples:
      llmserve models
      llmserve models qwen3 coder       those with both words
      llmserve models qwen3-8b          one in full
      llmserve models --fits --machine h100x8
      llmserve models --cached          those that are on this disk
      llmserve models -q                names only
    """
    place = hardware.load(machine) if machine else hardware.detect()
    rows = [(recipe, _cached(recipe), rough.fit(recipe, place)) for recipe in _chosen(words or [])]
    shown = [row for row in rows if (row[1] or not cached) and (row[2] or not fits)]
    alone = shown[0] if len(shown) == 1 and words else None
    return Result(
        data={"models": [_data(*row) for row in shown]},
        human=_described(*alone) if alone else _table(shown),
        quiet="\n".join(recipe.name for recipe, _, _ in shown),
        messages=(
            f"Its plan: `llmserve plan {alone[0].name}`. Serve it: `llmserve up {alone[0].name}`." if alone else BEYOND,
        ),
    )


def _chosen(words: Sequence[str]) -> list[Recipe]:
    """The recipes that have all ``words``; one alone if they are its name.

    Raises:
        UsageError: none has.
    """
    exact = named(words[0]) if len(words) == 1 else None
    found = [exact] if exact else _with(words, str.lower) or _with(words, names.normal)
    if found:
        return found
    asked = " ".join(words)
    raise UsageError(f"No known model is called {asked!r}.", hint=names.hint(asked), code="unknown_model")


def _with(words: Sequence[str], spelling: Callable[[str], str]) -> list[Recipe]:
    """The recipes in whose names all ``words`` are found, both in the same spelling."""
    wanted = [spelling(word) for word in words]
    return [recipe for recipe in catalogue() if all(word in spelling(_names(recipe)) for word in wanted)]


def _names(recipe: Recipe) -> str:
    return "\n".join((recipe.name, recipe.family, *recipe.aliases, *recipe.repos, recipe.task))


def _cached(recipe: Recipe) -> list[str]:
    kinds = Candidate(ref=recipe.name, name=recipe.name, sources=recipe.sources)
    return [kind for kind in kinds.formats if is_cached(kinds, kind)]


def _table(rows: Sequence[tuple[Recipe, list[str], Fit | None]]) -> str:
    """One row each, with a blank line between families. Those that make vectors are one."""
    lines = columns(HEADER, [_row(*row) for row in rows]).splitlines()
    families = [recipe.family if recipe.task == "generate" else recipe.task for recipe, _, _ in rows]
    breaks = {i for i in range(1, len(rows)) if families[i] != families[i - 1]}
    return "\n".join(f"\n{line}" if number - 1 in breaks else line for number, line in enumerate(lines))


def _row(recipe: Recipe, here: list[str], fit: Fit | None) -> tuple[str, ...]:
    built_in = not recipe.repos
    size = "-" if built_in else _size(recipe.sources[0].size_bytes)
    return recipe.name, size, _tokens(recipe.context), _fits(recipe, fit), ", ".join(_marks(recipe, here)) or "-"


def _fits(recipe: Recipe, fit: Fit | None) -> str:
    if not recipe.repos:
        return "built in"
    if fit is None:
        return f"needs {recipe.minimum_gb} GB"
    if fit.form == "full":
        return "yes" if fit.gpus == 1 else f"{fit.gpus} GPUs"
    form = _SHORT.get(fit.form, fit.form)
    return f"{form} {_size(fit.size_bytes)}" if fit.gpus < 2 else f"{form} {fit.gpus} GPUs"


_SHORT = {"awq-int4": "int4", "gptq-int4": "int4", "w4a16": "int4"}


def _marks(recipe: Recipe, here: list[str]) -> list[str]:
    marks = (("embed", recipe.task == "embed"), ("gated", recipe.gated), ("cached", bool(here and recipe.repos)))
    return [mark for mark, holds in marks if holds]


def _described(recipe: Recipe, here: list[str], fit: Fit | None) -> str:
    rows = [(name, value) for name, value in _facts(recipe, here, fit) if value]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}   {value}" for name, value in rows)


def _facts(recipe: Recipe, here: list[str], fit: Fit | None) -> list[tuple[str, str]]:
    sampling = {name: value for name, value in asdict(recipe.sampling).items() if value is not None}
    return [
        ("name", recipe.name),
        ("also", ", ".join(recipe.aliases)),
        ("family", recipe.family),
        ("parameters", recipe.parameters),
        ("licence", f"{recipe.license} (gated: accept it on the hub first)" if recipe.gated else recipe.license),
        ("context", f"{recipe.context:,} tokens"),
        *((source.format, _place(source.repo, source.file, source.size_bytes)) for source in recipe.sources),
        *((variant.quantization, _place(variant.repo, None, variant.size_bytes)) for variant in recipe.variants),
        ("tool calls", recipe.tool_call_parser or ""),
        ("reasoning", recipe.reasoning_parser or ""),
        ("sampling", ", ".join(f"{name} {value}" for name, value in sampling.items())),
        ("needs", f"{recipe.minimum_gb} GB of GPU memory for {recipe.sources[0].format}"),
        ("fits", _fits(recipe, fit)),
        ("cached", ", ".join(here)),
        *(("note", note) for note in recipe.notes),
    ]


def _place(repo: str | None, file: str | None, size: int | None) -> str:
    return f"{repo}{f':{file}' if file else ''}, {_size(size)}" if repo else "made on this machine"


def _size(size: int | None) -> str:
    """Two or three figures: ``37 MB``, ``0.8 GB``, ``16 GB``, ``1.5 TB``."""
    gigabytes = (size or 0) / GB
    if gigabytes < 0.1:
        return f"{gigabytes * 1000:.0f} MB"
    if gigabytes >= 1000:
        return f"{gigabytes / 1000:.1f} TB"
    return f"{gigabytes:.1f} GB" if gigabytes < 9.95 else f"{gigabytes:.0f} GB"


def _tokens(count: int) -> str:
    """``8k``, ``128k``, ``1M``: binary thousands, as context lengths are named; short ones in full."""
    if count >= 1024**2:
        return f"{count // 1024**2}M"
    return f"{count // 1024}k" if count >= 1024 else str(count)


def _data(recipe: Recipe, here: list[str], fit: Fit | None) -> dict[str, Any]:
    sources = [
        {"format": source.format, "repo": source.repo, "file": source.file, "size_bytes": source.size_bytes}
        for source in recipe.sources
    ]
    return {
        "name": recipe.name,
        "aliases": list(recipe.aliases),
        "family": recipe.family,
        "task": recipe.task,
        "parameters": recipe.parameters,
        "license": recipe.license,
        "gated": recipe.gated,
        "context": recipe.context,
        "minimum_gb": recipe.minimum_gb,
        "sources": sources,
        "variants": [asdict(variant) for variant in recipe.variants],
        "tool_call_parser": recipe.tool_call_parser,
        "reasoning_parser": recipe.reasoning_parser,
        "sampling": {name: value for name, value in asdict(recipe.sampling).items() if value is not None},
        "notes": list(recipe.notes),
        "cached": here,
        "fits": asdict(fit) if fit else None,
    }
