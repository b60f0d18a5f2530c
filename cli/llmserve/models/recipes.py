"""The models that llmserve knows by name: one TOML file each in ``templates/models``.

A file ends with the table ``[config]``: the fields of the model's ``config.json`` that decide how much memory it needs.
It is the longest part and seldom wanted, so it is parsed when asked for. ``layer_types`` may stop after one period.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.models.model import Candidate, Format, Sampling, Source, Task

GB = 1_000_000_000

_IGNORED = str.maketrans("", "", "-_. ")
_CONFIG = "\n[config"
_REPO = re.compile(r'^repo = "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A quantised safetensors checkpoint: ``fp8``, ``awq-int4``, ``gptq-int4``, ``w4a16``, ``nvfp4``; a rough size."""

    repo: str
    quantization: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A known model. ``rank`` orders the choices for ``llmserve up`` without a name, the best first (0: never chosen).

    ``parameters``, ``context`` (tokens) and ``minimum_gb`` are for people; the plan reads the model's own headers.
    ``minimum_gb`` is the memory of the smallest GPU, or set of GPUs, for the first source and a few requests.
    ``ungated`` is a copy of a gated repository that asks for no token: it is offered, and never taken unasked.
    """

    name: str
    family: str
    parameters: str
    license: str
    context: int
    sources: tuple[Source, ...]
    minimum_gb: int
    aliases: tuple[str, ...] = ()
    gated: bool = False
    ungated: str | None = None
    rank: int = 0
    task: Task = "generate"
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    variants: tuple[Variant, ...] = ()
    notes: tuple[str, ...] = ()
    config_text: str = field(default="", repr=False)

    @property
    def repos(self) -> tuple[str, ...]:
        return tuple(source.repo for source in self.sources if source.repo)

    @property
    def config(self) -> Mapping[str, Any] | None:
        """The part of ``config.json`` that decides memory; None where it is not known for certain."""
        return _config(self.config_text) if self.config_text else None

    def candidate(self, ref: str | None = None, *, name: str | None = None) -> Candidate:
        return Candidate(
            ref=ref or self.name,
            name=name or self.name,
            sources=self.sources,
            recipe=self.name,
            gated=self.gated,
            tool_call_parser=self.tool_call_parser,
            reasoning_parser=self.reasoning_parser,
            variants=tuple(
                Source(format="safetensors", repo=variant.repo, size_bytes=variant.size_bytes)
                for variant in self.variants
            ),
            config=self.config,
            task=self.task,
            sampling=self.sampling,
        )


def normal(name: str) -> str:
    """Names are compared without case and without ``-``, ``_`` and ``.``: Llama3-8B is llama-3-8b."""
    return name.lower().translate(_IGNORED)


@cache
def catalogue() -> tuple[Recipe, ...]:
    """All recipes by family, the small models first, and those that make vectors last.

    Raises:
        ValueError: a file of the package is damaged.
    """
    return tuple(sorted(map(_load, _files().values()), key=_order))


def mentioning(name: str) -> tuple[Recipe, ...]:
    """The recipes with ``name`` somewhere in their files, however it is spelt. Reads all of them, and parses those."""
    stem = normal(name).removesuffix("gguf").removesuffix("instruct")
    return tuple(sorted((_load(path) for path in _files().values() if stem in normal(_text(path))), key=_order))


def within(words: str) -> tuple[Recipe, ...]:
    """The recipes of which a name or a repository stands in ``words`` (:func:`spaced`, with a dash at both ends)."""
    fitting = (path for path in _files().values() if any(f"-{spaced(name)}-" in words for name in _names(path)))
    return tuple(sorted(map(_load, fitting), key=_order))


def spaced(name: str) -> str:
    """``Qwen/Qwen3_8B-Instruct`` as ``qwen3-8b-instruct``: words with one separator; dots count as letters."""
    return re.sub(r"[^a-z0-9.]+", "-", name.rsplit("/", 1)[-1].lower())


def named(name: str) -> Recipe | None:
    """The recipe of exactly this name, however it is spelt. Reads its file alone."""
    path = _files().get(normal(name))
    return _load(path) if path else None


def ranked() -> list[Recipe]:
    """The recipes that may be chosen for a user who named none, the best first."""
    return sorted((recipe for recipe in catalogue() if recipe.rank), key=lambda recipe: recipe.rank)


@cache
def _files() -> dict[str, Path]:
    """The recipes' files by normalised name; each is named after its model."""
    return {normal(path.stem): path for path in (paths.templates_dir() / "models").glob("*.toml")}


def _order(recipe: Recipe) -> tuple[bool, str, int, str]:
    return recipe.task != "generate", recipe.family, recipe.sources[0].size_bytes or 0, recipe.name


def _names(path: Path) -> list[str]:
    return [path.stem, *_REPO.findall(_text(path))]


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _load(path: Path) -> Recipe:
    try:
        head, mark, config = _text(path).partition(_CONFIG)
        return _recipe(tomllib.loads(head), mark + config)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a recipe: {error}") from error


def _recipe(table: dict[str, Any], config: str) -> Recipe:
    sglang: dict[str, Any] = table.pop("sglang", {})
    kinds: tuple[Format, ...] = ("safetensors", "gguf")
    return Recipe(
        aliases=tuple(table.pop("aliases", ())),
        notes=tuple(table.pop("notes", ())),
        sources=tuple(_source(kind, table.pop(kind)) for kind in kinds if kind in table),
        variants=tuple(_variant(variant) for variant in table.pop("variants", ())),
        sampling=Sampling(**table.pop("sampling", {})),
        config_text=config,
        **table,
        **sglang,
    )


def _source(kind: Format, table: dict[str, Any]) -> Source:
    size = table.pop("size_gb")
    return Source(format=kind, size_bytes=round(size * GB), **table)


def _variant(table: dict[str, Any]) -> Variant:
    size = table.pop("size_gb")
    return Variant(size_bytes=round(size * GB), **table)


@cache
def _config(text: str) -> Mapping[str, Any]:
    config: dict[str, Any] = tomllib.loads(text)["config"]
    for fields in (config, config.get("text_config", {})):
        if kinds := fields.get("layer_types"):
            fields["layer_types"] = list(islice(cycle(kinds), fields["num_hidden_layers"]))
    return config
