"""Stopping a server from outside: through its keeper, or without it when that was killed."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

from llmserve.engine import orders, process, registry
from llmserve.engine.orders import Order
from llmserve.engine.registry import Stray
from llmserve.engine.server import Drained, Server
from llmserve.errors import LlmserveError

_PATIENCE = 60.0
"""Seconds for a keeper beside the grace for running answers: the kill, and the GPU's memory coming back."""


def stop(
    server: Server, *, grace: float = orders.GRACE, forget: bool = True, told: Callable[[Server], None] = lambda _: None
) -> Drained | None:
    """End ``server``, and forget it or keep its record. Returns only when its processes are gone, with what became of
    the answers that were running (None: nothing is known of any). ``told`` is called once it is stopping.

    Raises:
        LlmserveError: something of it is still alive, or it is another machine's.
    """
    refuse_elsewhere(server)
    folder = Path(server.directory)
    if server.keeper is not None and server.keeper.alive:
        _order(server, Order(verb="stop", grace=grace))
        wait_stopping(server, told)
        _wait_or_kill(server.keeper, grace + _PATIENCE)
    last = registry.read(folder) or server
    end_remains(last if last.process else server)
    if forget:
        registry.remove(server)
    elif last.state == "died":
        registry.write(replace(last, state="stopped", process=None))
    return last.drained


def stop_stray(stray: Stray, *, grace: float) -> None:
    """End a server whose record cannot be read, and remove its folder."""
    if stray.keeper is not None and stray.keeper.alive:
        if not orders.send(stray.directory, Order(verb="stop", grace=grace, forget=True)):
            _signal(stray.keeper, signal.SIGTERM)
        _wait_or_kill(stray.keeper, grace + _PATIENCE)
    registry.remove_stray(stray)


def wait_stopping(server: Server, told: Callable[[Server], None]) -> None:
    """Wait until the keeper says that it is ending its server, or is gone."""
    assert server.keeper is not None
    for _ in range(600):
        current = registry.read(Path(server.directory))
        if current is None or not server.keeper.alive or current.state not in ("starting", "ready", "restarting"):
            if current is not None and current.state == "stopping":
                told(current)
            return
        if process.wait_gone(server.keeper, timeout=0.05):
            return
        resume(server.keeper)


def _order(server: Server, order: Order) -> None:
    """Give the order through the pipe, or by a signal where there is none. A paused keeper hears neither."""
    assert server.keeper is not None
    resume(server.keeper)
    if not orders.send(Path(server.directory), order):
        _signal(server.keeper, signal.SIGTERM)


def resume(keeper: process.Identity) -> None:
    """Let a keeper that a signal has paused go on: it would hear nothing."""
    if keeper.paused:
        _signal(keeper, signal.SIGCONT)


def _signal(identity: process.Identity, number: int) -> None:
    with contextlib.suppress(psutil.Error):
        if found := identity.process():
            found.send_signal(number)


def _wait_or_kill(keeper: process.Identity, patience: float) -> None:
    """Wait for a keeper that was told to end its server; paused in the midst of it, it goes on."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.wait_gone(keeper, timeout=0.5):
            return
        resume(keeper)
    _kill(keeper)


def _kill(identity: process.Identity) -> None:
    _signal(identity, signal.SIGKILL)
    process.wait_gone(identity, timeout=10)


def refuse_elsewhere(server: Server) -> None:
    """Raise LlmserveError for another machine's server: its process ids mean nothing here."""
    if server.state == "elsewhere" and server.place:
        raise LlmserveError(
            f"{server.name} belongs to {server.place.host}, which shares this state folder.",
            hint=f"Stop it there, or remove {server.directory} if that machine is gone.",
            code="elsewhere",
        )


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
