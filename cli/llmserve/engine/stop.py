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
    """End ``server`` and forget it. Returns only when its processes are gone.

    Raises:
        LlmserveError: something of it is still alive.
    """
    keeper = server.keeper.process() if server.keeper else None
    if keeper is not None and server.keeper is not None:
        with contextlib.suppress(psutil.Error):
            keeper.resume()  # a stopped keeper hears no other signal
            if server.state != "stopping":  # said twice it would cut the answers that are being finished
                keeper.terminate()
        if not process.wait_gone(server.keeper, timeout=_PATIENCE):
            with contextlib.suppress(psutil.Error):
                keeper.kill()
    end_remains(server)
    registry.remove(server)


def end_remains(server: Server) -> None:
    """End what is left of a server whose keeper was killed: the engine, or workers that outlived it."""
    if server.process is None:
        return
    process.end(server.process.process(), grace=5)
    process.kill(process.session(server.process))
    if remains := process.session(server.process):
        pid = remains[0].pid
        raise LlmserveError(
            f"{server.name} could not be stopped: process {pid} is still alive.",
            hint=f"See what it waits for: cat /proc/{pid}/status",
            code="not_stopped",
        )
