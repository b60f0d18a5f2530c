"""The record of one server, as it stands on disk and in ``--json``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmserve.engine.base import Facts
from llmserve.engine.process import Identity
from llmserve.plan.plan import Plan

State = Literal["starting", "ready", "stopping", "failed", "died"]

RECORD_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that llmserve started. ``url`` is the base URL for clients, ``model`` the id its API shows.

    ``keeper`` is llmserve's process beside the engine, ``process`` the engine's first one (None before it exists).
    Times are seconds since the epoch. ``directory`` holds the log, this record, and the key if there is one;
    ``temporary`` is the engine's folder for temporary files. ``extra_flags`` are the names of the engine flags that the
    user added to the plan's. ``weights`` is the file or folder that the engine loads (None: an earlier version wrote
    this).
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
    detached: bool = False
    keeper: Identity | None = None
    process: Identity | None = None
    started_at: float = 0.0
    ready_at: float | None = None
    key_file: str | None = None
    temporary: str | None = None
    facts: Facts | None = None
    error: dict[str, Any] | None = None
    extra_flags: tuple[str, ...] = ()
    weights: str | None = None
    version: int = RECORD_VERSION

    @property
    def log(self) -> Path:
        return Path(self.directory) / "log.txt"

    @property
    def running(self) -> bool:
        return self.state in ("starting", "ready", "stopping")

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return max(0.0, time.time() - self.started_at)
