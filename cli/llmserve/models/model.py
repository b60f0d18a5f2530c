"""Records of what a model is: where it comes from, and what its headers say before any weights are fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Format = Literal["safetensors", "gguf"]

Progress = Callable[[int, int, str], None]
"""Told during a download: bytes done, bytes in all, and what is being fetched."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one variant of a model lies: exactly one of ``repo`` (hub), ``path`` (local) or ``builtin`` is set.

    ``file`` says which .gguf of a repository is meant: its name, a glob, or a quantisation such as ``Q4_K_M``; in a
    described model it is the (first) file itself. ``size_bytes`` is a rough figure from a recipe, for choosing among
    recipes without a network.
    """

    format: Format
    repo: str | None = None
    revision: str | None = None
    file: str | None = None
    path: str | None = None
    builtin: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a name stands for: one model in one or two formats. ``name`` is the id that the API will show."""

    ref: str
    name: str
    sources: tuple[Source, ...]
    recipe: str | None = None
    gated: bool = False
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None

    @property
    def formats(self) -> tuple[Format, ...]:
        return tuple(source.format for source in self.sources)

    def source(self, format: Format) -> Source:  # noqa: A002 - the word of the field
        return next(source for source in self.sources if source.format == format)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a hub repository that serving needs."""

    name: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as its headers describe it.

    ``weight_bytes`` are exact (safetensors or GGUF headers). ``attention`` is ``gqa`` for plain multi-head and
    grouped-query attention, where KV bytes per token = 2 x layers x kv_heads x head_dim x dtype bytes; ``other``
    marks layouts for which that formula is an upper bound. ``files`` are what a download would bring, of which
    ``missing_bytes`` are not in the cache yet. ``path`` is set when the weights are on this disk, or will be made there
    (built-in models). ``dtype`` is that of activations and KV cache; ``quantization`` is None for plain formats.
    ``random_weights`` marks a model that nobody trained: its answers mean nothing.
    """

    ref: str
    name: str
    source: Source
    architecture: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    context_length: int
    dtype: str
    weight_bytes: int
    attention: Literal["gqa", "other"] = "gqa"
    intermediate_size: int = 0
    quantization: str | None = None
    chat_template: bool = True
    random_weights: bool = False
    revision: str | None = None
    path: str | None = None
    files: tuple[File, ...] = ()
    missing_bytes: int = 0
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None

    @property
    def format(self) -> Format:
        return self.source.format
