"""Starting a server: a name, a port, a keeper, and then what the keeper tells."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmserve.engine import keys, registry, systemd
from llmserve.engine.base import Launch
from llmserve.engine.orders import Order
from llmserve.engine.place import place
from llmserve.engine.ports import choose_port
from llmserve.engine.process import Identity
from llmserve.engine.server import Server
from llmserve.engine.stop import end_remains
from llmserve.errors import BY_EXIT_CODE, LlmserveError, ServerDiedError, UsageError
from llmserve.records import to_json


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Where the user wants the server: None and 0 as in :func:`choose_port`; ``timeout``, ``patient``, ``restart``,
    ``retry``, ``kept`` as in :class:`Request`.
    """

    name: str | None
    host: str
    port: int | None
    timeout: float
    patient: bool = False
    restart: bool = True
    retry: bool = True
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a keeper is asked for. ``timeout`` in seconds until readiness; with ``patient`` it is no limit while the
    start gets on. ``restart``: begin the engine again when it ends by itself. ``retry``: after a start for which memory
    was missing, try once more with one flag changed, none of those that the user set (``kept``).
    """

    server: Server
    launch: Launch
    api_key: str | None = field(repr=False)
    timeout: float
    patient: bool = False
    restart: bool = True
    retry: bool = True
    kept: tuple[str, ...] = ()


class Running:
    """A server whose keeper listens to us."""

    def __init__(self, keeper: subprocess.Popen[str], server: Server) -> None:
        self.keeper = keeper
        self.server = server

    def events(self) -> Iterator[dict[str, Any]]:
        """What the keeper tells, until the server has ended.

        Raises:
            LlmserveError: the server failed, as the class that its exit code names.
        """
        assert self.keeper.stdout is not None
        for line in self.keeper.stdout:
            event = json.loads(line)
            if event["event"] == "failed":
                raise _error(event, self.server)
            yield event
            if event["event"] == "stopped":
                return
        raise ServerDiedError(
            "The process that keeps the server was killed, and the server with it.",
            hint=f"See `llmserve logs {self.server.name}`.",
        )

    def stop(self) -> None:
        """End the server and wait until nothing of it is left.

        Interrupted while waiting, it has the engine killed; interrupted again, it kills the keeper, with which the
        kernel ends the engine.
        """
        self.keeper.send_signal(signal.SIGCONT)  # paused, it would hear nothing
        self.say(str(Order(verb="stop", forget=True)))
        impatient: tuple[Callable[[], None], ...] = (lambda: self.say("kill"), self.keeper.kill, lambda: None)
        for hurry in impatient:
            try:
                with contextlib.suppress(LlmserveError):
                    for _ in self.events():
                        pass
                self.keeper.wait()
                break
            except KeyboardInterrupt:
                hurry()
        if self.server.process is None:  # only the keeper knew the engine; the record on disk has it
            self.server = registry.read(Path(self.server.directory)) or self.server
        if self.keeper.poll() not in (None, 0):
            end_remains(self.server)

    def detach(self) -> None:
        """Leave the server alone: it outlives this process from now on."""
        self.say(str(Order(verb="detach")))

    @contextlib.contextmanager
    def stopped_on_error(self) -> Iterator[None]:
        """Whatever goes wrong inside ends the server: an error of ours must not leave one behind."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def say(self, word: str) -> None:
        """An order, as a line."""
        assert self.keeper.stdin is not None
        with contextlib.suppress(OSError):
            self.keeper.stdin.write(word + "\n")
            self.keeper.stdin.flush()


@contextlib.contextmanager
def waiting_keeper() -> Iterator[subprocess.Popen[str]]:
    """A keeper without a server yet: it starts up while this process plans. An error inside sends it away."""
    keeper = subprocess.Popen(
        [sys.executable, "-P", "-m", "llmserve.engine.keeper"],  # -P: the user's folder may hold a json.py
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        env=systemd.without(keys.without_secrets(os.environ)),
    )  # fmt: skip
    try:
        yield keeper
    except BaseException:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            assert keeper.stdin is not None
            keeper.stdin.close()  # which ends it, unless its server was detached
            keeper.wait(timeout=0.5)
        raise


def start(
    keeper: subprocess.Popen[str],
    make: Callable[[str, Path, int], tuple[Server, Launch]],
    wish: Wish,
    *,
    model: str,
    api_key: str | None,
    waiting: Callable[[str], None] = lambda _: None,
) -> Running:
    """Reserve a name and a port, and hand ``keeper`` the request that ``make(name, folder, port)`` builds.

    The record is on disk before the reservation is let go, so two of these never take the same name or port.
    ``waiting`` is told when another start is waited for.
    """
    with registry.locked(waiting):
        port = choose_port(wish.host, wish.port, reserved=registry.ports())
        name, folder = registry.claim(wish.name, model)
        try:
            server, launch = make(name, folder, port)
            server = _recorded(server, keeper)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    request = Request(
        server=server, launch=launch, api_key=api_key, timeout=wish.timeout, patient=wish.patient,
        restart=wish.restart, retry=wish.retry, kept=wish.kept,
    )  # fmt: skip
    return _handed(keeper, request)


def again(
    keeper: subprocess.Popen[str], request: Request, *, waiting: Callable[[str], None] = lambda _: None
) -> Running:
    """Start a server that has ended once more, under its name and at its port."""
    with registry.locked(waiting):
        choose_port(request.server.host, request.server.port, reserved=registry.ports())
        current = registry.read(Path(request.server.directory))
        if current is None or current.running:
            raise UsageError(f"{request.server.name} was started by another command.", hint="See `llmserve ps`.")
        server = replace(
            request.server, state="starting", stage="", error=None, last_ending=None, drained=None, process=None,
            ready_at=None, restarts=0, detached=True, started_at=time.time(),
        )  # fmt: skip
        server = _recorded(server, keeper)
    return _handed(keeper, replace(request, server=server))


def _recorded(server: Server, keeper: subprocess.Popen[str]) -> Server:
    try:
        server = replace(server, keeper=Identity.of(keeper.pid), place=place())
    except ProcessLookupError as error:
        raise ServerDiedError("llmserve's process beside the server was killed.", hint="Try again.") from error
    registry.write(server)
    return server


def _handed(keeper: subprocess.Popen[str], request: Request) -> Running:
    running = Running(keeper, request.server)
    running.say(json.dumps(to_json(request)))
    return running


def _error(event: dict[str, Any], server: Server) -> LlmserveError:
    failure = event["failure"]
    kind = BY_EXIT_CODE.get(failure["exit_code"], ServerDiedError)
    data = {"server": server.name, "log": str(server.log), "log_tail": event["tail"]}
    return kind(failure["message"], hint=failure["hint"], code=failure["code"], data=data)
