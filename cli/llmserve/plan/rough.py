"""Whether a known model fits a machine, by the rough sizes of its recipe: a glance over the whole catalogue.

The planner has the last word; this asks no header and reads no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.recipes import Recipe
from llmserve.plan import parallel

_ROOM = 1.05
"""Weights need a little more on a device than on disk: padding, and tensors that each GPU has whole."""

_BESIDE = 3_000_000_000
"""Bytes of a GPU for everything but weights: the driver's context, graphs, workspaces, and a small KV cache."""

_BESIDE_CPU = 1_000_000_000

_OLDEST = {"fp8": 80, "nvfp4": 100}
"""The first NVIDIA generation (sm_80 ...) that SGLang serves a quantisation on; older ones serve the rest alone."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The best form of a model that fits: ``full``, a quantisation (``fp8``) or ``gguf``; ``gpus`` 0: host memory."""

    form: str
    repo: str | None
    size_bytes: int
    gpus: int


def fit(recipe: Recipe, machine: Machine) -> Fit | None:
    """What of ``recipe`` would be served here. The full model on several GPUs comes before a quantised one on a few."""
    if not parallel.usable(machine):
        return next(_in_host_memory(recipe, machine), None)
    return next(_on_gpus(recipe, machine), None)


def _in_host_memory(recipe: Recipe, machine: Machine) -> Iterator[Fit]:
    for source in recipe.sources:
        size = source.size_bytes or 0
        if source.format == "gguf" and size * _ROOM + _BESIDE_CPU <= machine.ram_available_bytes:
            yield Fit(form="gguf", repo=source.repo, size_bytes=size, gpus=0)


def _on_gpus(recipe: Recipe, machine: Machine) -> Iterator[Fit]:
    cards = _alike(machine)
    for form, repo, size in _forms(recipe, cards[0]):
        count = _needed(size, cards)
        if count:
            yield Fit(form=form, repo=repo, size_bytes=size, gpus=count)


def _forms(recipe: Recipe, card: Gpu) -> Iterator[tuple[str, str | None, int]]:
    for source in recipe.sources:
        if source.format == "safetensors" and source.size_bytes:
            yield "full", source.repo, source.size_bytes
    for variant in recipe.variants:
        if _serves(card, variant.quantization):
            yield variant.quantization, variant.repo, variant.size_bytes


def _serves(card: Gpu, quantization: str) -> bool:
    generation = card.arch.removeprefix("sm_")
    if card.vendor == "nvidia" and generation.isdigit():
        return int(generation) >= _OLDEST.get(quantization, 75)
    return quantization != "nvfp4"


def _alike(machine: Machine) -> list[Gpu]:
    """The largest set of equal GPUs: only those share a model."""
    cards = parallel.usable(machine)
    kinds = Counter((card.name, card.total_bytes) for card in cards)
    kind = max(kinds, key=lambda kind: kinds[kind] * kind[1])
    return [card for card in cards if (card.name, card.total_bytes) == kind]


def _needed(size: int, cards: list[Gpu]) -> int:
    """How many of ``cards`` hold the weights, in the sizes that models can be split by; 0: not all of them."""
    each = min(card.free_bytes for card in cards) - _BESIDE
    return next((n for n in (1, 2, 4, 8) if n <= len(cards) and size * _ROOM <= each * n), 0)
