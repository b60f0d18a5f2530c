"""What starts have shown: the planner's memory, kept beside the predictions that were made for them."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.plan.plan import Prediction


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An engine's own figures after its start, per device; None where it says nothing. ``seconds`` by phase."""

    kv_tokens: int | None = None
    kv_bytes: int | None = None
    weight_bytes: int | None = None
    before_load_bytes: int | None = None
    graph_bytes: int | None = None
    free_bytes: int | None = None
    max_running_requests: int | None = None
    context: int | None = None
    window_tokens: int | None = None
    state_slots: int | None = None
    seconds: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One start. ``machine`` names the kind of hardware (GPU name, or ``cpu``), ``family`` the model's architecture.

    ``free_bytes`` is what the tightest device had free before the launch; ``at`` is seconds since the epoch.
    """

    at: float
    machine: str
    engine: str
    engine_version: str
    family: str
    model: str
    tensor_parallel: int
    gpus: int
    free_bytes: int
    predicted: Prediction
    measured: Measured
    flags: dict[str, str] | None = None
