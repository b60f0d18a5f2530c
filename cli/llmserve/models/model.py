"""Records of what a model is: where it comes from, and what its headers say before any weights are fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llmserve.models.layers import CacheLayers, Experts, Vision
from llmserve.models.tensors import TensorGroup

Basis = Literal["headers", "config", "recipe"]
"""Where the bytes of the weights come from: tensor headers (exact), computed from config.json, or a recipe's figures
when no hub can be asked."""

Task = Literal["generate", "embed", "reward"]

Format = Literal["safetensors", "gguf"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a model's authors recommend to sample; None: they say nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None


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
    """What a name stands for: one model in one or two formats. ``name`` is the id that the API will show.

    ``variants`` are quantised checkpoints of the same model, for when the full one does not fit. ``config`` holds the
    fields of its config.json that decide memory, and ``task`` what it is for where its architecture does not tell, both
    as a recipe knows them.
    """

    ref: str
    name: str
    sources: tuple[Source, ...]
    recipe: str | None = None
    gated: bool = False
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    variants: tuple[Source, ...] = ()
    config: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    task: Task | None = None
    sampling: Sampling = Sampling()

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

    ``weight_bytes`` is the sum of ``tensors``, exact if ``basis`` is ``headers``. ``cache`` lists what the layers keep
    between tokens, in no order. ``familiar`` is False for architectures whose layout is guessed from general fields:
    plans then carry a wide band. ``mtp_layers`` predict further tokens (``num_nextn_predict_layers``).
    ``weight_block`` is the side of FP8 scale blocks, ``group_size`` the group of GPTQ/AWQ/FP4 scales, and
    ``kv_cache_dtype`` what the checkpoint asks for its cache (``fp8``). ``files`` are what a download would bring, of
    which ``missing_bytes`` are not in the cache yet. ``path`` is set when the weights are on this disk, or will be made
    there (built-in models). ``dtype`` is that of activations and KV cache; ``quantization`` is None for plain formats.
    ``base_models`` are the repositories that it was made from, as its card on the hub names them.
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
    intermediate_size: int = 0
    quantization: str | None = None
    chat_template: bool = True
    random_weights: bool = False
    basis: Basis = "headers"
    task: Task = "generate"
    model_type: str = ""
    familiar: bool = True
    cache: tuple[CacheLayers, ...] = ()
    tensors: tuple[TensorGroup, ...] = ()
    experts: Experts | None = None
    vision: Vision | None = None
    tied_embeddings: bool = False
    mtp_layers: int = 0
    weight_block: int | None = None
    group_size: int | None = None
    kv_cache_dtype: str | None = None
    revision: str | None = None
    path: str | None = None
    files: tuple[File, ...] = ()
    missing_bytes: int = 0
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    variants: tuple[Source, ...] = ()
    sampling: Sampling = Sampling()
    base_models: tuple[str, ...] = ()

    @property
    def format(self) -> Format:
        return self.source.format
