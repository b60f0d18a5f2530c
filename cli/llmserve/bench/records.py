"""The vocabulary of a benchmark: what is sent, what came of it, and what a run says.

Times inside a run are seconds from its start (``Run.started``), durations are milliseconds. None is what was not seen.
``templates/schemas/bench-1.json`` describes :class:`Run` as ``llmserve bench --json`` prints it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "CAUSES", "Followup", "Goal", "Goodput", "Load", "Proof", "Request", "Requests", "Row", "Run", "Serving", "Spread",
    "StageSummary", "Summary", "Throughput", "Tokens",
]  # fmt: skip

SCHEMA_VERSION = 1

Kind = Literal["content", "reasoning", "tool"]
Followup = Callable[[str], "tuple[float, Request] | None"]

CAUSES = {
    "connect": "no connection could be made",
    "tls": "TLS failed",
    "timeout": "no answer in time",
    "reset": "the connection was reset",
    "truncated": "the answer ended in its middle",
    "status": "the server refused with an HTTP status",
    "in_stream_error": "an error stood inside a stream of status 200",
    "missing_finish": "the stream ended in order but without a finish reason",
    "malformed": "the answer was no valid HTTP, SSE or JSON",
    "empty": "the answer ended in order but held no token",
    "interrupted": "the run ended before the answer",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, ready to be written. ``payload`` is the whole of HTTP, ``input_tokens`` what it was built to hold.

    ``followup`` gets the answer's text and returns the session's next turn and the seconds to think before it.
    """

    payload: bytes
    input_tokens: int | None = None
    output_tokens: int | None = None
    session: int = 0
    turn: int = 0
    measured: bool = True
    followup: Followup | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What came of one request.

    ``intended_s`` is when it should have been sent, ``sent_s`` when its first byte was written, ``first_s`` and
    ``last_s`` when its first and last token arrived (of any kind), ``answer_s`` the first token that is content, and
    ``end_s`` when the answer was whole or failed. ``output_tokens`` is the server's count where the answer was whole
    (``counted``), else the chunks that arrived. ``gaps_ms`` are the times between chunks with tokens,
    ``chunk_tokens`` the tokens of each of these chunks, the first one included.
    """

    index: int
    stage: int
    session: int
    turn: int
    measured: bool
    cause: str
    status: int | None
    intended_s: float
    sent_s: float | None
    first_s: float | None
    answer_s: float | None
    last_s: float | None
    end_s: float
    connect_ms: float | None
    first_kind: Kind | None
    asked_input: int | None
    asked_output: int | None
    input_tokens: int | None
    output_tokens: int
    cached_tokens: int | None
    reasoning_tokens: int | None
    counted: bool
    gaps_ms: Sequence[float] = ()
    chunk_tokens: Sequence[float] = ()

    @property
    def ok(self) -> bool:
        return not self.cause

    @property
    def queue_ms(self) -> float | None:
        """From when it should have been sent to when it was: the wait behind a cap, and the client's own lateness."""
        return None if self.sent_s is None else (self.sent_s - self.intended_s) * 1e3

    @property
    def ttft_ms(self) -> float | None:
        """Service time to the first token, from the write."""
        return None if self.first_s is None or self.sent_s is None else (self.first_s - self.sent_s) * 1e3

    @property
    def e2e_ms(self) -> float | None:
        """Service time of the whole answer: from the write to the last token (to the end where there is none)."""
        if self.sent_s is None or not self.ok:
            return None
        return ((self.last_s if self.last_s is not None else self.end_s) - self.sent_s) * 1e3

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token after the first: of answers of two tokens or more."""
        if not self.ok or self.first_s is None or self.last_s is None or self.output_tokens < 2:
            return None
        return (self.last_s - self.first_s) * 1e3 / (self.output_tokens - 1)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A distribution. ``ci95`` holds the 95 % interval of each figure, by bootstrap over requests."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    more: dict[str, float] = field(default_factory=dict)
    ci95: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """``by_cause`` counts failures by the names of CAUSES (``status`` as ``status_429`` and so on)."""

    ok: int
    failed: int
    warmup: int = 0
    interrupted: int = 0
    resent: int = 0
    by_cause: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of the measured requests that succeeded; ``lost`` are those of answers that failed later.

    ``counted`` tells whether all of them are the server's own figures (``usage``), not chunks.
    """

    input: int
    output: int
    lost: int = 0
    cached: int | None = None
    reasoning: int | None = None
    counted: bool = True
    per_chunk: float | None = None


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Per second. ``steady`` leaves ramp and drain out; None if the load was never full for long.

    ``window_s`` is the steady window in seconds of the run.
    """

    requests: float
    output_tokens: float
    input_tokens: float
    steady_output_tokens: float | None = None
    steady_requests: float | None = None
    window_s: tuple[float, float] | None = None
    concurrency: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What the client knows about its own error. ``valid`` is False beyond a bound; ``reasons`` say which.

    ``client_lag_ms`` is user space minus kernel at every read, ``schedule_lateness_ms`` the write minus the plan where
    no cap was in the way, ``coalesced`` the share of reads that held several chunks, ``cpu_share`` that of one core,
    ``cpu_wait_share`` the share of the time in which the client was ready to run but other programs had its core.
    """

    valid: bool
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    client_lag_ms: Spread | None = None
    schedule_lateness_ms: Spread | None = None
    coalesced: float = 0.0
    cpu_share: float = 0.0
    cpu_wait_share: float = 0.0
    cpu_us_per_token: float | None = None
    stamps: Literal["kernel", "user", "mixed"] = "kernel"
    clock_steps_ms: tuple[float, ...] = ()
    processes: int = 1
    rss_mib: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One objective of ``--slo``: ``ttft:p99<500ms``. ``reached`` is in the unit of ``bound`` (ms)."""

    text: str
    metric: str
    statistic: str
    bound: float
    reached: float | None = None
    met: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Goodput:
    """Requests (and their tokens) per second that met every objective's bound themselves."""

    requests: float
    output_tokens: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Load:
    """One stage of load as it was asked for. ``concurrency`` caps what is in flight, in every kind of load."""

    kind: Literal["closed", "open"]
    name: str = ""
    concurrency: int | None = None
    rate: float | None = None
    arrival: str = ""
    requests: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The server's own view over the same time, where it has ``/metrics``; see :mod:`llmserve.bench.sampler`."""

    kind: str
    output_tokens: int | None = None
    input_tokens: int | None = None
    cache_hit_rate: float | None = None
    running_max: float | None = None
    queued_max: float | None = None
    kv_used_max: float | None = None
    agrees: bool | None = None
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def highest(self, name: str, start: float = -math.inf, end: float = math.inf) -> float | None:
        """Of a series, between two times of the run in seconds."""
        return max((value for at, value in self.series.get(name, ()) if start <= at <= end), default=None)


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """The figures of one stage; field names are those of the published JSON.

    ``ttft_ms`` and ``e2e_ms`` are service times from the write. Under an open load the headline is
    ``latency_ms`` and ``first_token_ms``, which count from the intended start. ``itl_ms`` is per token,
    ``chunk_gap_ms`` per chunk.
    """

    load: Load
    seconds: float
    requests: Requests
    tokens: Tokens
    throughput: Throughput
    ttft_ms: Spread | None = None
    itl_ms: Spread | None = None
    chunk_gap_ms: Spread | None = None
    tpot_ms: Spread | None = None
    e2e_ms: Spread | None = None
    queue_ms: Spread | None = None
    first_token_ms: Spread | None = None
    first_answer_ms: Spread | None = None
    latency_ms: Spread | None = None
    connect_ms: Spread | None = None
    goals: tuple[Goal, ...] = ()
    goodput: Goodput | None = None
    notes: tuple[str, ...] = ()
    proof: Proof | None = None


@dataclass(frozen=True, kw_only=True)
class Summary(StageSummary):
    """A whole run's figures: those of all its stages together, or of its only one, and the proof."""

    proof: Proof
    stages: tuple[StageSummary, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as it is stored and printed. ``settings`` are the command's options.

    ``machine`` is the client's, ``server`` what is known of the engine. ``answers`` are sentences, ``search`` the
    levels of load that a search tried, ``cost`` per million tokens. ``curves`` hold each measure's values at the
    shares of :data:`llmserve.bench.curves.SHARES`, ``timeline`` the course of the run.
    """

    id: str
    started: str
    llmserve: str
    base_url: str
    model: str
    api: str
    settings: dict[str, Any]
    summary: Summary
    interrupted: bool = False
    machine: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    serving: Serving | None = None
    rows: str | None = None
    answers: tuple[str, ...] = ()
    search: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    timeline: tuple[dict[str, Any], ...] = ()
