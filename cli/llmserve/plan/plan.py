"""Records of the planner: what the user wants, and what was decided, each figure with its basis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["sglang", "llamacpp"]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The user's wishes. None means: choose. ``context`` in tokens per request, ``concurrency`` in requests."""

    context: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One engine setting in the engine's own spelling; ``value`` is None for a switch. ``reason`` is one clause."""

    name: str
    value: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Share:
    """One line of the memory ledger of one device, in bytes. ``basis`` says where the figure comes from."""

    name: str
    size_bytes: int
    basis: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one model will be served on one machine.

    ``ledger`` adds up to ``memory_bytes``, the free memory of each device used (``gpus``: UUIDs; empty: host memory).
    ``kv_tokens`` is what the engine is expected to report, ``kv_band`` its range (low, high).
    ``concurrency`` requests of ``context`` tokens each fit at the same time.
    """

    engine: EngineName
    engine_reason: str
    model: str
    device: Literal["gpu", "cpu"]
    gpus: tuple[str, ...]
    tensor_parallel: int
    context: int
    concurrency: int
    kv_bytes_per_token: int
    kv_tokens: int
    kv_band: tuple[int, int]
    memory_bytes: int
    ledger: tuple[Share, ...]
    flags: tuple[Flag, ...]
    notes: tuple[str, ...] = ()
