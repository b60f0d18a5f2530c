"""What the user asked for, and the stages of load that it comes to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmserve.bench.lengths import Lengths
from llmserve.bench.records import Load
from llmserve.errors import UsageError

__all__ = ["Settings", "Stage"]

OPEN_LOOP_CONNECTIONS = 1024
_N = r"\d+(?:\.\d+)?"
_STAGE = re.compile(rf"(?:c=(?P<users>\d+)|rate=(?P<rate>{_N})(?:\.\.(?P<to>{_N}))?)(?P<limits>(?:/\d+|/{_N}s)*)")
_HINT = "Try: --stages c=1/20s,c=8/30s/500,rate=4/30s,rate=2..20/60s (seconds, requests)."


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One level of load with its own limits; the first that is reached ends it.

    ``rate`` makes it an open loop, ``ramp_to`` is the rate at its end. ``connections`` caps what is in flight there.
    """

    concurrency: int = 8
    rate: float | None = None
    ramp_to: float | None = None
    requests: int | None = None
    duration_s: float | None = None
    connections: int | None = None
    arrival: str = "poisson"
    trace: Path | None = None
    name: str = ""

    @property
    def open_loop(self) -> bool:
        return self.rate is not None or self.trace is not None

    @property
    def most_connections(self) -> int:
        return self.connections or OPEN_LOOP_CONNECTIONS if self.open_loop else self.concurrency

    @property
    def load(self) -> Load:
        arrival = self.arrival if self.ramp_to is None else f"{self.arrival}, growing to {self.ramp_to:g}"
        return Load(
            kind="open" if self.open_loop else "closed", name=self.name, rate=self.rate,
            concurrency=self.connections if self.open_loop else self.concurrency,
            arrival="trace" if self.trace else arrival if self.open_loop else "", requests=self.requests,
            duration_s=self.duration_s,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``connections`` caps what is in flight in an open loop (``rate`` or ``trace``).

    ``ramp_to`` is the rate at the end of ``duration_s``. A ``trace`` brings its own arrivals, a ``dataset`` only
    requests. ``stages`` replace the one stage that the rest describes. ``processes`` is None for as many as it takes.
    """

    api: str = "chat"
    concurrency: int = 8
    requests: int | None = None
    duration_s: float | None = None
    rate: float | None = None
    arrival: str = "poisson"
    ramp_to: float | None = None
    trace: Path | None = None
    trace_speed: float = 1.0
    dataset: Path | None = None
    images: str | None = None
    connections: int | None = None
    inputs: Lengths
    outputs: Lengths
    warmup: int | None = None
    prefix_share: float = 0.0
    prefixes: int = 1
    repeatable: bool = False
    turns: int = 1
    think_s: float = 0.0
    seed: int = 0
    timeout_s: float = 300.0
    ignore_eos: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    slo: str | None = None
    percentiles: tuple[float, ...] = ()
    stages: tuple[Stage, ...] = ()
    processes: int | None = None

    @property
    def stage(self) -> Stage:
        """The one stage that these settings describe without ``stages``."""
        return Stage(
            concurrency=self.concurrency, rate=self.rate, ramp_to=self.ramp_to, requests=self.requests,
            duration_s=self.duration_s, connections=self.connections, arrival=self.arrival, trace=self.trace,
        )  # fmt: skip

    @property
    def all_stages(self) -> tuple[Stage, ...]:
        return self.stages or (self.stage,)

    @property
    def load(self) -> Load:
        """Of the whole run."""
        return replace(self.all_stages[0].load, name="stages") if len(self.stages) > 1 else self.all_stages[0].load

    @property
    def open_loop(self) -> bool:
        return any(stage.open_loop for stage in self.all_stages)

    @property
    def most_connections(self) -> int:
        return max(stage.most_connections for stage in self.all_stages)

    def with_stages(self, text: str | None) -> Settings:
        """These settings with the stages that ``text`` lists: ``c=1/20s,c=8/30s/500,rate=2..20/60s``.

        Raises:
            UsageError: a stage is none, or has no limit.
        """
        return replace(self, stages=tuple(self._parsed(part.strip()) for part in text.split(","))) if text else self

    def _parsed(self, text: str) -> Stage:
        match = _STAGE.fullmatch(text)
        if not match:
            raise UsageError(f"--stages {text!r} is no stage.", hint=_HINT)
        limits = [limit for limit in match["limits"].split("/") if limit]
        seconds = [float(limit[:-1]) for limit in limits if limit.endswith("s")]
        numbers = [int(limit) for limit in limits if not limit.endswith("s")]
        stage = replace(
            self.stage, name=text, trace=None, rate=float(match["rate"]) if match["rate"] else None,
            concurrency=int(match["users"] or self.concurrency), ramp_to=float(match["to"]) if match["to"] else None,
            requests=min(numbers, default=self.requests), duration_s=min(seconds, default=self.duration_s),
        )  # fmt: skip
        if 0 in (stage.concurrency, stage.rate, stage.requests, stage.duration_s, stage.ramp_to):
            raise UsageError(f"--stages {text!r} asks for nothing.", hint=_HINT)
        if stage.requests is None and stage.duration_s is None:
            raise UsageError(f"--stages {text!r} has no end.", hint=_HINT)
        if stage.ramp_to and not stage.duration_s:
            raise UsageError(f"--stages {text!r} needs seconds to grow in.", hint=_HINT)
        return stage
