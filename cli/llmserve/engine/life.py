"""One run of an engine: its process, its log, its readiness, and its end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from llmserve import paths
from llmserve.engine import load, oom, process
from llmserve.engine.base import PRIVATE_DIR, Address, Engine, Facts, Failure, Launch, Progress
from llmserve.engine.log import LogPump
from llmserve.engine.ready import ForeignListenerError, Readiness
from llmserve.engine.server import Server

STOP_PATIENCE = 2.0
"""Seconds for an engine that answers nobody yet to end when it is asked."""


_KILLED = ("killed", "worker_killed", "worker_died")
"""Failures that may be the kernel's doing."""


@dataclass(frozen=True)
class Ended:
    """The engine's first process has ended, with ``code`` (negative: a signal)."""

    life: int
    code: int


@dataclass(frozen=True)
class Ready:
    """Our engine has answered a completion; ``facts`` are its own figures."""

    life: int
    facts: Facts


@dataclass(frozen=True)
class Refused:
    """Our engine cannot become ready, for a reason outside of it."""

    life: int
    failure: Failure


class Life:
    """The engine of ``server`` from its start to its end. What happens to it is put on ``events``."""

    def __init__(
        self,
        number: int,
        server: Server,
        engine: Engine,
        *,
        api_key: str | None,
        events: queue.SimpleQueue[object],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.number, self.server, self.engine = number, server, engine
        self.process: process.Identity | None = None
        self.began = time.monotonic()
        self.code: int | None = None
        self.ready = False
        self.pump: LogPump | None = None
        self._api_key, self._events, self._on_progress = api_key, events, on_progress
        self._child: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._oom_kills = oom.kills()
        self._vital: list[process.Identity] = []

    def start(self, launch: Launch) -> Failure | None:
        """Execute ``launch``; what is in the way is returned."""
        folder = Path(self.server.directory)
        try:
            for name, text in launch.files.items():
                paths.write_atomic(folder / name, text, mode=0o600)
            self._child = self._spawn(launch, folder)
        except OSError as error:
            if isinstance(error.filename, str) and error.filename != launch.argv[0]:
                return Failure(
                    code="disk", message=f"The server's folder cannot be written: {error.strerror}.",
                    hint="Make room, or set XDG_STATE_HOME to a folder on another disk.", exit_code=1,
                )  # fmt: skip
            message = f"The engine could not be started: {error.strerror}: {launch.argv[0]}."
            return Failure(code="engine_missing", message=message, hint="Install it again: `llmserve engine list`.")
        with contextlib.suppress(ProcessLookupError):  # it ended at once; its exit code will say how
            self.process = process.Identity.of(self._child.pid)
        assert self._child.stdout is not None
        pipe = os.dup(self._child.stdout.fileno())
        self._child.stdout.close()
        self.pump = LogPump(pipe, self.server.log, self.engine, launch.secrets, on_progress=self._on_progress)
        self.pump.start()
        return None

    def watch(self) -> None:
        """Report the end and the readiness of what :meth:`start` began."""
        threading.Thread(target=self._wait, name="end", daemon=True).start()
        threading.Thread(target=self._until_ready, name="ready", daemon=True).start()

    def tree(self) -> list[psutil.Process]:
        return process.tree(self.process.process()) if self.process else []

    def note_workers(self) -> tuple[process.Identity, ...]:
        """Remember the processes without which the engine cannot serve, and tell them."""
        self._vital = []
        for member in self.tree()[1:]:
            with contextlib.suppress(psutil.Error, OSError, ProcessLookupError):
                if " ".join(member.cmdline()).startswith(self.engine.workers or ("\0",)):
                    self._vital.append(process.Identity.of(member.pid))
        return tuple(self._vital)

    def lost_worker(self) -> bool:
        """Whether one of them has ended. (SGLang does not notice each of them.)"""
        return not all(member.alive for member in self._vital)

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel has killed anybody for lack of memory while this engine ran."""
        return oom.kills() > self._oom_kills

    def load(self) -> load.Load | None:
        """The requests that it works on now."""
        return load.load(self._address, self.engine.load_metrics, api_key=self._api_key)

    def connections(self) -> int | None:
        """Connections that clients have to it."""
        return process.connections(self.server.port)

    def ask(self) -> None:
        """Ask the launcher to end: it finishes what it answers, and ends its own workers."""
        for member in self.tree():
            with contextlib.suppress(psutil.Error):
                member.resume()  # a paused process hears no other signal
        with contextlib.suppress(psutil.Error):
            if self.process and (root := self.process.process()):
                root.terminate()

    def kill(self) -> None:
        """End the whole tree, now; afterwards its port and its GPU memory are free."""
        family = self.tree()
        process.kill(family, patience=0 if self.code is None else 3)
        if self.process:
            process.kill(process.session(self.process), patience=1)  # workers that outlived the launcher
        if self._child:
            self._child.wait()
        self._over.set()
        if self.server.plan.gpus:
            process.wait_gpu_released({member.pid for member in family}, timeout=30)
        if self.pump is not None:
            self.pump.join(timeout=2)

    def cause(self, code: int) -> Failure:
        """Why the engine ended, from the best source: its log, its exit code, its last words."""
        if self.pump is not None:
            self.pump.join(timeout=5)
        told = (self.pump.cause if self.pump else None) or self.engine.exit_failure(code)
        if told is not None:
            return oom.KILLED if told.code in _KILLED and self.out_of_memory else told
        what = "The server ended by itself" if self.ready else "The engine ended while starting"
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return Failure(code="server_died", message=f"{what} ({how}).", hint=f"See `llmserve logs {self.server.name}`.")

    @property
    def _address(self) -> Address:
        return Address(host=self.server.host, port=self.server.port)

    def _spawn(self, launch: Launch, folder: Path) -> subprocess.Popen[bytes]:
        argv = [word.replace(PRIVATE_DIR, str(folder)) for word in launch.argv]
        env = dict(os.environ) | {name: value.replace(PRIVATE_DIR, str(folder)) for name, value in launch.env.items()}
        env["TMPDIR"] = self.server.temporary or ""
        return subprocess.Popen(
            argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=process.die_with_parent,
        )  # fmt: skip

    def _wait(self) -> None:
        assert self._child is not None
        self.code = self._child.wait()
        self._events.put(Ended(self.number, self.code))

    def _until_ready(self) -> None:
        readiness, pause = self._readiness(), 0.02
        while not self._over.wait(pause) and self.code is None:
            try:
                if readiness.check():
                    self._events.put(Ready(self.number, self._facts(readiness)))
                    return
            except ForeignListenerError as error:
                self._events.put(Refused(self.number, error.failure))
                return
            except psutil.Error:
                continue
            pause = min(pause * 1.1, 0.25)

    def _readiness(self) -> Readiness:
        return Readiness(
            address=self._address, ready_path=self.engine.ready_path, model=self.server.model, api_key=self._api_key,
            processes=self.tree,
        )  # fmt: skip

    def _facts(self, readiness: Readiness) -> Facts:
        try:
            return self.engine.facts(readiness.info(self.engine.info_path), self.pump.start_text() if self.pump else "")
        except Exception:  # a server that serves does not end over figures that cannot be read
            return Facts()


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9."""
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
