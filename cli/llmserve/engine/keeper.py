"""The process beside an engine: starts it, keeps its log and record, says when it is ready, and ends it whole.

``llmserve up`` starts one keeper per server, in a session of its own, and speaks with it over two pipes, so that
nothing secret stands in an argument list:

    stdin    one JSON :class:`~llmserve.engine.launch.Request`, then words: ``stop`` (again: kill) or ``detach``. End of
             file means that ``up`` is gone: the server goes too, unless it was detached.
    stdout   JSON lines: ``progress``, ``ready``, ``failed``, ``stopped``.

SIGTERM stops the server (``llmserve down``), a second one kills it. If the keeper itself is killed, the kernel ends
the engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from llmserve import engine, history, paths
from llmserve.engine import keys, leftovers, process, registry
from llmserve.engine.base import PRIVATE_DIR, Address, Failure, Progress
from llmserve.engine.launch import Request
from llmserve.engine.log import LogPump
from llmserve.engine.observe import observe
from llmserve.engine.ready import ForeignListenerError, Readiness
from llmserve.records import from_json, to_json

_REPORT = "Please report this, with the files in `llmserve logs`' folder."

GRACE = 10.0
"""Seconds that a stopping engine has for the answers it is giving, before it is killed."""


class _StopError(BaseException):
    """Raised in the main thread, whatever it waits for, when the server is to end."""


class Keeper:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.server = replace(request.server, keeper=process.Identity.of(os.getpid()))
        # not in the server's own folder: the path of a Unix socket may have 107 characters
        self.server = replace(self.server, temporary=tempfile.mkdtemp(prefix="llmserve-"))
        self.engine = engine.engine(self.server.engine)
        self.stopping = False
        self.detached = False
        self.child: subprocess.Popen[bytes] | None = None
        self.pump: LogPump | None = None

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for `up`, which tells us
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        failure: Failure | None = None
        try:
            failure = self._serve()
            self.stopping = True  # from here on SIGTERM means: hurry
        except _StopError:
            pass
        except Exception as error:  # an error of ours must not leave an engine behind
            failure = Failure(code="internal", message=f"llmserve failed to keep the server: {error!r}.", hint=_REPORT)
        self._end()
        return self._conclude(failure)

    def _serve(self) -> Failure:
        """Start the engine and stay until it ends by itself."""
        if failure := self._start():
            return failure
        # after the fork, which wants a single thread
        threading.Thread(target=self._obey, name="orders", daemon=True).start()
        if failure := self._until_ready():
            return failure
        assert self.child is not None
        code = self.child.wait()
        return self._cause(code, "The server ended by itself")

    def _start(self) -> Failure | None:
        launch, folder = self.request.launch, Path(self.server.directory)
        self._update()
        for name, text in launch.files.items():
            paths.write_atomic(folder / name, text, mode=0o600)
        argv = [word.replace(PRIVATE_DIR, str(folder)) for word in launch.argv]
        env = dict(os.environ) | {name: value.replace(PRIVATE_DIR, str(folder)) for name, value in launch.env.items()}
        env["TMPDIR"] = self.server.temporary or ""
        try:
            self.child = subprocess.Popen(
                argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=process.die_with_parent,
            )  # fmt: skip
        except OSError as error:
            message = f"The engine could not be started: {error.strerror}: {argv[0]}."
            return Failure(code="engine_missing", message=message, hint="Install it again: `llmserve engine list`.")
        assert self.child.stdout is not None
        self.pump = LogPump(
            self.child.stdout.fileno(), self.server.log, self.engine, launch.secrets, on_progress=self._on_progress
        )
        self.pump.start()
        with contextlib.suppress(ProcessLookupError):  # it ended at once; `poll` will say how
            self._update(process=process.Identity.of(self.child.pid))
        return None

    def _until_ready(self) -> Failure | None:
        readiness = self._readiness()
        deadline, pause = time.monotonic() + self.request.timeout, 0.02
        while self.child is not None:
            code = self.child.poll()
            if code is not None:
                return self._cause(code, "The engine ended while starting")
            try:
                if readiness.check(within=max(1.0, deadline - time.monotonic())):
                    self._ready(readiness)
                    return None
            except ForeignListenerError as error:
                return error.failure
            if time.monotonic() > deadline:
                return self._too_slow()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(pause)
            pause = min(pause * 1.1, 0.25)
        return None

    def _readiness(self) -> Readiness:
        address = Address(host=self.server.host, port=self.server.port)
        return Readiness(
            address=address, ready_path=self.engine.ready_path, model=self.server.model, api_key=self.request.api_key,
            processes=self._tree,
        )  # fmt: skip

    def _ready(self, readiness: Readiness) -> None:
        info = readiness.info(self.engine.info_path)
        facts = self.engine.facts(info, self._log_text())
        self._forget_files()
        if self.pump is not None:
            self.pump.cause = None  # what a start complained of does not explain a later end
        self._update(state="ready", ready_at=time.time(), facts=facts)
        with contextlib.suppress(Exception):  # a server that serves does not end over what is noted about its start
            if found := observe(self.server):
                history.append(found)
        self._tell("ready", server=to_json(self.server))

    def _log_text(self) -> str:
        with contextlib.suppress(OSError):
            return self.server.log.read_text(encoding="utf-8", errors="replace")
        return ""

    def _cause(self, code: int, what: str) -> Failure:
        """Why the engine ended, from the best source: its log, its exit code, its last words."""
        if self.pump is not None:
            self.pump.join(timeout=5)
        told = self.pump.cause if self.pump else None
        if told or (told := self.engine.exit_failure(code)):
            return told
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return Failure(code="server_died", message=f"{what} ({how}).", hint=f"See `llmserve logs {self.server.name}`.")

    def _too_slow(self) -> Failure:
        waited, stage = self.request.timeout, self.server.stage or "start"
        return Failure(
            code="not_ready",
            message=f"The server was not ready within {waited:g} s (last stage: {stage}).",
            hint=f"Give it longer with --wait-timeout, or see `llmserve logs {self.server.name}`.",
            exit_code=5,
        )

    def _tree(self) -> list[psutil.Process]:
        return process.tree(self.server.process.process()) if self.server.process else []

    def _end(self) -> None:
        """End the engine's whole tree; afterwards its port and its GPU memory are free."""
        if self.child is None:
            return
        was_ready = self.server.state == "ready"
        if was_ready:
            self._update(state="stopping")
        family = self._tree()
        process.end(family[0] if family else None, grace=GRACE if was_ready else GRACE / 5)
        if self.server.process:
            process.kill(process.session(self.server.process), patience=1)  # workers that outlived the launcher
        self.child.wait()
        if self.server.plan.gpus:
            process.wait_gpu_released({member.pid for member in family}, timeout=30)
        if self.pump is not None:
            self.pump.join(timeout=2)

    def _conclude(self, failure: Failure | None) -> int:
        leftovers.sweep(self.server.temporary, self.engine.shared_memory, since=self.server.started_at)
        if failure is None:
            registry.remove(self.server)
            self._tell("stopped")
            return 0
        self._forget_files()
        keys.forget(Path(self.server.directory))
        self._update(state="failed", error=to_json(failure))
        self._tell("failed", failure=to_json(failure), tail=list(self.pump.tail) if self.pump else [])
        return failure.exit_code

    def _forget_files(self) -> None:
        """Engines read their files once, at the start: a key need not lie around."""
        for name in self.request.launch.files:
            (Path(self.server.directory) / name).unlink(missing_ok=True)

    def _on_progress(self, progress: Progress) -> None:
        if progress.stage != self.server.stage:
            self._update(stage=progress.stage)
        if select.select([], [sys.stdout], [], 0)[1]:  # a stopped `up` must not stop the engine's log
            self._tell("progress", progress=to_json(progress))

    def _on_term(self, *_: object) -> None:
        if self.stopping:  # the second time means: now
            for member in self._tree():
                with contextlib.suppress(psutil.Error):
                    member.kill()
            return
        self.stopping = True
        raise _StopError

    def _obey(self) -> None:
        for line in sys.stdin:
            if line.strip() == "detach":
                self.detached = True
                self._update(detached=True)
            else:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not self.detached:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _update(self, **changes: Any) -> None:
        with _UPDATES:
            self.server = replace(self.server, **changes)
            with contextlib.suppress(OSError):  # a full disk must not end a server that serves
                registry.write(self.server)

    def _tell(self, event: str, **more: Any) -> None:
        with contextlib.suppress(OSError, ValueError), _UPDATES:
            sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
            sys.stdout.flush()


_UPDATES = threading.RLock()


def main() -> int:
    os.umask(0o077)
    order = sys.stdin.readline()
    if not order:  # `up` found that it needs no keeper
        return 0
    request = from_json(Request, json.loads(order))
    errors = registry.hold(Path(request.server.directory))
    os.dup2(errors.fileno(), sys.stderr.fileno())
    return Keeper(request).run()


if __name__ == "__main__":
    sys.exit(main())
