"""Records of the planner: what the user wants, and what was decided, each figure with its basis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["sglang", "llamacpp"]
Objective = Literal["latency", "throughput", "fit"]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The user's wishes. None means: choose.

    ``context`` in tokens per request, ``concurrency`` in requests, ``gpus`` is how many to use on each of ``nodes``
    machines. ``reserve_bytes`` stay free on each device, ``host_cache_bytes`` of host memory hold KV cache that the
    GPUs dropped. ``fixed`` pins settings of the engine by its own names (``mem_fraction_static``), as (name, value).
    """

    context: int | None = None
    concurrency: int | None = None
    objective: Objective | None = None
    gpus: int | None = None
    nodes: int = 1
    kv_dtype: str | None = None
    reserve_bytes: int = 0
    host_cache_bytes: int | None = None
    fixed: tuple[tuple[str, str], ...] = ()


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
class PlannedGpu:
    """One GPU that the plan uses. ``ledger`` adds up to ``free_bytes`` exactly."""

    index: int
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int
    ledger: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the engine is expected to report once it is ready, per device where memory is meant.

    ``kv_tokens`` is the size of the pool (of the layers that see everything, if some see only a window, whose pool is
    ``window_tokens``), and ``band`` its range (low, high). ``kv_bytes`` is its memory, ``state_bytes`` that of
    ``state_slots`` states of linear-attention layers. ``before_load_bytes`` is free memory when the weights begin to
    load, ``free_bytes`` what is left after the start. ``weight_factor`` is by what earlier starts corrected the
    weights.
    """

    kv_tokens: int
    kv_bytes: int
    weights_bytes_per_gpu: int
    max_running_requests: int
    band: tuple[int, int]
    window_tokens: int | None = None
    state_slots: int | None = None
    state_bytes: int = 0
    before_load_bytes: int | None = None
    graph_bytes: int = 0
    free_bytes: int | None = None
    weight_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One thing that a plan does not know: in parts of the pool, by which it may turn out smaller or larger."""

    name: str
    below: float
    above: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """An arrangement that was not chosen, or a change that would make a refused one fit: what, why, what to type."""

    what: str
    why: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Term:
    """One step of the arithmetic, with numbers put in: ``name`` = ``formula`` (``value`` with its unit)."""

    name: str
    formula: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one model will be served on one machine.

    ``ledger`` adds up to ``memory_bytes``, the free memory of the tightest device used; ``gpus`` has one ledger each
    (none: host memory). ``concurrency`` requests of ``context`` tokens fit at the same time. ``kv_bytes_per_token`` is
    per device, averaged over pools of different length. Sizes of the parallel arrangement are numbers of GPUs:
    ``tensor_parallel`` x ``pipeline_parallel`` x ``data_parallel`` are used; ``attention_data_parallel`` and
    ``expert_parallel`` divide the tensor-parallel group. ``nodes`` machines of this kind are needed.
    ``wanted_tokens`` is what has to fit: the context, for as many requests as were asked for, or for one.
    ``doubts`` are why the band is as wide as it is.
    ``architecture`` is the model's, ``machine`` the kind of hardware used (``calibration.machine_key``).
    """

    engine: EngineName
    engine_reason: str
    model: str
    device: Literal["gpu", "cpu"]
    gpus: tuple[PlannedGpu, ...]
    tensor_parallel: int
    context: int
    concurrency: int
    kv_bytes_per_token: int
    predicted: Prediction
    memory_bytes: int
    ledger: tuple[Share, ...]
    flags: tuple[Flag, ...]
    notes: tuple[str, ...] = ()
    pipeline_parallel: int = 1
    data_parallel: int = 1
    attention_data_parallel: int = 1
    expert_parallel: int = 1
    nodes: int = 1
    kv_dtype: str = "bfloat16"
    wanted_tokens: int = 0
    weights_basis: Literal["headers", "config", "recipe"] = "headers"
    rejected: tuple[Alternative, ...] = ()
    terms: tuple[Term, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    architecture: str = ""
    machine: str = ""

    @property
    def uuids(self) -> tuple[str, ...]:
        return tuple(gpu.uuid for gpu in self.gpus)

    @property
    def kv_tokens(self) -> int:
        return self.predicted.kv_tokens

    @property
    def kv_tokens_in_all(self) -> int:
        """Over all replicas and attention groups, each of which has a pool of its own."""
        return self.kv_tokens * self.data_parallel * self.attention_data_parallel
