"""The record of one server, as it stands on disk and in ``--json``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmserve.engine.base import Eased, Facts
from llmserve.engine.place import Place
from llmserve.engine.process import Identity
from llmserve.plan.plan import Plan

State = Literal[
    "starting", "ready", "restarting", "stopping", "stopped", "failed", "died", "paused", "elsewhere"
]  # fmt: skip
"""``restarting``: it ended by itself and is begun again. ``failed``: it ended or never came up, and that was it.

The last three are found, not written. ``died``: its keeper was killed. ``paused``: a signal has stopped its engine.
``elsewhere``: it belongs to another machine that shares this state folder.
"""

RECORD_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an engine ended that was not told to: ``failure`` as JSON, the last lines of its log, and when."""

    failure: dict[str, Any]
    tail: tuple[str, ...]
    at: float


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What became of the answers that were running when a server was told to stop; None: the system does not tell.
    ``clients`` were connected when answers were cut.
    """

    running: int | None
    cut: int | None
    grace: float
    clients: tuple[str, ...] = ()

    @property
    def finished(self) -> int | None:
        return None if self.running is None or self.cut is None else self.running - self.cut


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that llmserve started. ``url`` is the base URL for clients, ``model`` the id its API shows.

    ``keeper`` is llmserve's process beside the engine, ``process`` the engine's first one (None before it exists),
    ``workers`` those of a ready engine without which it cannot serve.
    Times are seconds since the epoch. ``directory`` holds the log, this record, and the keys if there are any;
    ``temporary`` is the engine's folder for temporary files. ``extra_flags`` are the names of the engine flags that the
    user added to the plan's. ``weights`` is the file or folder that the engine loads (None: an earlier version wrote
    this). ``life`` counts the starts of its engine,
    the last one ``begun_at``, ``restarts`` those after an end that nobody asked for. ``activity``
    says how a start that takes long is getting on.
    """

    name: str
    directory: str
    url: str
    host: str
    port: int
    model: str
    engine: str
    engine_version: str
    plan: Plan
    state: State = "starting"
    stage: str = ""
    activity: str = ""
    detached: bool = False
    keeper: Identity | None = None
    process: Identity | None = None
    workers: tuple[Identity, ...] = ()
    place: Place | None = None
    started_at: float = 0.0
    begun_at: float = 0.0
    ready_at: float | None = None
    key_file: str | None = None
    admin_key_file: str | None = None
    temporary: str | None = None
    facts: Facts | None = None
    error: dict[str, Any] | None = None
    last_ending: Ending | None = None
    eased: Eased | None = None
    drained: Drained | None = None
    life: int = 0
    restarts: int = 0
    extra_flags: tuple[str, ...] = ()
    weights: str | None = None
    version: int = RECORD_VERSION

    @property
    def log(self) -> Path:
        return Path(self.directory) / "log.txt"

    @property
    def running(self) -> bool:
        return self.state in ("starting", "ready", "restarting", "stopping", "paused")

    @property
    def paused(self) -> bool:
        """Whether a signal (SIGSTOP) keeps its engine from running."""
        return any(one.paused for one in (self.process, *self.workers) if one)

    @property
    def uptime(self) -> float:
        """Seconds since the start; by the kernel's clock where it runs here, since the wall clock may be set."""
        age = self.keeper.age if self.keeper and self.running else None
        return max(0.0, time.time() - self.started_at) if age is None else age
