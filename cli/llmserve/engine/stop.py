"""Stopping a server from outside: through its keeper, or without it when that was killed."""

from __future__ import annotations

import contextlib

import psutil

from llmserve.engine import process, registry
from llmserve.engine.server import Server
from llmserve.errors import LlmserveError

_PATIENCE = 60.0
"""Seconds for a keeper: its own grace for running answers, the kill, and the GPU's memory coming back."""


def stop(server: Server) -> None:
    """End ``server`` and forget it. Returns only when its process tree is gone.

    Raises:
        LlmserveError: something of it is still alive.
    """
    keeper = server.keeper.process() if server.keeper else None
    if keeper is not None and server.keeper is not None:
        with contextlib.suppress(psutil.Error):
            keeper.terminate()
        if not process.wait_gone(server.keeper, timeout=_PATIENCE):
            with contextlib.suppress(psutil.Error):
                keeper.kill()
    process.end(server.process.process() if server.process else None, grace=5)  # its keeper was killed
    if server.process and server.process.alive:
        raise LlmserveError(
            f"{server.name} could not be stopped: process {server.process.pid} is still alive.",
            hint=f"See what it waits for: cat /proc/{server.process.pid}/status",
            code="not_stopped",
        )
    registry.remove(server)
