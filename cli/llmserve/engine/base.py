"""The contract between llmserve and an inference engine, and the records that cross it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from llmserve.plan.plan import Plan

Device = Literal["gpu", "cpu"]

PRIVATE_DIR = "{llmserve-dir}"
"""Stands for a server's private folder in what a :class:`Launch` holds."""

Stage = Literal["start", "load", "kv_cache", "graphs", "warmup"]
"""What an engine does between its launch and its readiness, in order."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A Python that can run an engine. ``managed`` ones were built by ``llmserve engine install``."""

    engine: str
    version: str
    python: str
    managed: bool
    path: str | None = None
    device: Device = "cpu"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to execute. ``files`` (name -> text) are written 0600 into the server's private folder first, which
    ``{llmserve-dir}`` stands for in ``argv`` and in the values of ``env``. ``secrets`` never reach a log. ``env`` is
    added to the parent's environment.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens. ``host`` may be a wildcard; clients use ``url``."""

    host: str
    port: int

    @property
    def client_host(self) -> str:
        """The host to connect to from this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - mapped away, not bound

    @property
    def url(self) -> str:
        """The base URL that an OpenAI client takes."""
        host = f"[{self.client_host}]" if ":" in self.client_host else self.client_host
        return f"http://{host}:{self.port}/v1"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A plan made concrete: with which Python, from which files, under which name and address.

    ``admin_key`` opens the engine's management routes, where it has such routes.
    """

    plan: Plan
    environment: Environment
    model_path: str
    served_name: str
    address: Address
    api_key: str | None = field(default=None, repr=False)
    admin_key: str | None = field(default=None, repr=False)
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A log line understood: the engine is in ``stage``; ``done`` of ``total`` (in ``unit``) where it counts."""

    stage: Stage
    detail: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an engine ended: a stable ``code``, one sentence, the next step, and the exit code of llmserve.

    ``rank`` orders several findings in one log: the highest wins, so that a cause beats its consequences.
    """

    code: str
    message: str
    hint: str
    exit_code: int = 6
    rank: int = 0


@dataclass(frozen=True, kw_only=True)
class Eased:
    """The one flag that a second attempt changed (None: the flag was not there), and what made it necessary."""

    flag: str
    before: str | None
    after: str
    because: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an engine says about itself after its start, per device; None where it says nothing.

    ``before_load_bytes`` were free when the weights began to load, ``free_bytes`` after the start. ``kv_tokens`` is one
    pool of the layers that see everything, ``window_tokens`` of those that see a window. ``seconds`` by stage.
    """

    engine_version: str | None = None
    kv_tokens: int | None = None
    context: int | None = None
    concurrency: int | None = None
    weight_bytes: int | None = None
    free_bytes: int | None = None
    kv_bytes: int | None = None
    before_load_bytes: int | None = None
    graph_bytes: int | None = None
    window_tokens: int | None = None
    state_slots: int | None = None
    seconds: dict[str, float] | None = None


class Engine(Protocol):
    """One inference engine. Implementations are stateless; they import nothing heavy."""

    name: ClassVar[str]
    ready_path: ClassVar[str]  # answers 200 when the engine believes it is ready
    shared_memory: ClassVar[tuple[str, ...]]  # how the names of its segments in /dev/shm begin
    workers: ClassVar[tuple[str, ...]]  # how the titles of the processes begin without which it cannot serve
    load_metrics: ClassVar[tuple[str, str]]  # gauges of /metrics: requests that run, requests that wait

    def environment(self, device: Device | None = None) -> Environment | None:
        """The best installed environment (for ``device``), or None. Must not import the engine."""

    def adapt(self, plan: Plan, environment: Environment | None) -> Plan:
        """``plan`` in the words of the engine in ``environment``, which may be asked for them; notes say what changed.

        None stands for the release that llmserve would install. Raises UsageError when the engine has no word for
        something that the plan needs.
        """

    def launch(self, serving: Serving) -> Launch:
        """The exact command; ``serving.extra`` are the user's own flags, untouched and last."""

    def progress(self, line: str) -> Progress | None:
        """What a log line says about the start-up, if anything."""

    def failure(self, line: str) -> Failure | None:
        """What a log line says about the cause of a failure, if anything."""

    def exit_failure(self, code: int) -> Failure | None:
        """What an exit code (negative: signal) says when the log says nothing."""

    def ease(self, argv: Sequence[str], failure: Failure, stage: str, *, kept: Collection[str]) -> Eased | None:
        """The one flag to change for a second attempt, after ``failure`` in ``stage``; None where none would help.

        ``kept`` are names of flags that the user set.
        """

    def facts(self, info: Mapping[str, Any], log: str) -> Facts:
        """Figures from the engine's own info route (``info_path``) and its log."""

    info_path: ClassVar[str]
