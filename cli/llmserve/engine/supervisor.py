"""Keeping one server: the lives of its engine, one after another, until it is told to stop or may not begin again."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import socket
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmserve import engine, history
from llmserve.engine import clients, keys, leftovers, oom, ports, process, registry, saved
from llmserve.engine.activity import Activity
from llmserve.engine.base import Failure, Launch, Progress
from llmserve.engine.ease import applied
from llmserve.engine.launch import Request
from llmserve.engine.life import STOP_PATIENCE, Ended, Life, Ready, Refused
from llmserve.engine.logfile import LogFile
from llmserve.engine.observe import observe
from llmserve.engine.orders import Order
from llmserve.engine.place import place
from llmserve.engine.restarts import Restarts
from llmserve.engine.server import Drained, Ending
from llmserve.records import to_json

_REPORT = "Please report this, with the files in `llmserve logs`' folder."
_STARTING_TICK, _READY_TICK = 1.0, 5.0
"""Seconds between two looks at an engine that starts, and at one that serves."""

_LOST = Failure(
    code="worker_died",
    message="A worker of the engine was killed, and the rest of it cannot serve without.",
    hint="If memory was short (`llmserve doctor`), ask for less with --context or --concurrency.",
)


class Supervisor:
    """``events`` takes orders (:class:`Order`) and what happens to the engine; :meth:`run` works them off, alone."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.server = replace(
            request.server, keeper=process.Identity.of(os.getpid()), place=place(),
            # not in the server's own folder: the path of a Unix socket may have 107 characters
            temporary=tempfile.mkdtemp(prefix="llmserve-"),
        )  # fmt: skip
        self._engine = engine.engine(self.server.engine)
        self._launch: Launch = request.launch
        self._restarts = Restarts()
        self._been_ready = False
        self._forget = False
        self._port: socket.socket | None = None
        self._tail: tuple[str, ...] = ()

    def run(self) -> int:
        """Keep the server until its end. Returns the exit code of its failure, or 0."""
        life: Life | None = None
        outcome: Failure | Order
        try:
            self._port = ports.hold(self.server.host, self.server.port)
            self._save()
            while True:
                life = self._begin()
                outcome = self._watch(life)
                grace = outcome.grace if isinstance(outcome, Order) else STOP_PATIENCE
                outcome = self._end(life, outcome, grace)
                if not self._again(life, outcome):
                    break
        except Exception as error:  # an error of ours must not leave an engine behind
            outcome = Failure(code="internal", message=f"llmserve failed to keep the server: {error!r}.", hint=_REPORT)
            if life is not None:
                life.kill()
        return self._conclude(outcome)

    def detach(self) -> None:
        """`up` leaves: its end is not the server's."""
        self._update(detached=True)

    def _begin(self) -> Life:
        """A new life, begun; what kept it from beginning comes as an event."""
        self._update(
            state="starting",
            stage="",
            activity="",
            begun_at=time.time(),
            ready_at=None,
            process=None,
            workers=(),
            drained=None,
            life=self.server.life + 1,
        )
        life = Life(
            self.server.life, self.server, self._engine, api_key=self.request.api_key, events=self.events,
            on_progress=self._on_progress,
        )  # fmt: skip
        if failure := life.start(self._launch):
            self.events.put(Refused(life.number, failure))
        else:
            self._update(process=life.process)
            life.watch()
        return life

    def _watch(self, life: Life) -> Failure | Order:
        """Stay with the engine until it ends, cannot become ready, or an order ends it."""
        activity = Activity(limit=self.request.timeout, patient=self.request.patient)
        while True:
            event = self._next(_READY_TICK if life.ready else min(_STARTING_TICK, activity.left))
            if isinstance(event, Order):
                return event
            if isinstance(event, Ended | Ready | Refused) and event.life != life.number:
                continue
            if isinstance(event, Refused):
                return event.failure
            if isinstance(event, Ended):
                return life.cause(event.code)
            if isinstance(event, Ready):
                self._ready(life, event)
            elif event is None and (failure := self._look(life, activity)):
                return failure

    def _next(self, within: float) -> object:
        """The next event that says something; None after ``within`` seconds."""
        try:
            return self.events.get(timeout=max(0.0, within))
        except queue.Empty:
            return None

    def _look(self, life: Life, activity: Activity) -> Failure | None:
        """A look at an engine of which nothing was heard for some time."""
        if life.ready:
            registry.mend(self.server)
            if not life.lost_worker():
                return None
            return oom.KILLED if life.out_of_memory else _LOST
        activity.sample(life.tree(), life.pump.lines if life.pump else 0)
        if (words := activity.words()) != self.server.activity:
            self._update(activity=words)
        if _heard():
            self._tell("activity", words=words, stage=self.server.stage or "start")
        return activity.verdict(self.server.name, self.server.stage or "start")

    def _ready(self, life: Life, event: Ready) -> None:
        life.ready = self._been_ready = True
        workers = life.note_workers()
        self._forget_files()
        if life.pump is not None:
            life.pump.cause = None  # what a start complained of does not explain a later end
        self._update(state="ready", ready_at=time.time(), facts=event.facts, activity="", workers=workers)
        with contextlib.suppress(Exception):  # a server that serves does not end over what is noted about its start
            if self.server.life == 1 and (found := observe(self.server)):
                history.append(found)
        self._tell("ready", server=to_json(self.server))

    def _end(self, life: Life, outcome: Failure | Order, grace: float) -> Failure | Order:
        """End the engine's whole tree, its running answers first. Returns why, which an impatient order may change."""
        if life.code is None and life.process is not None:
            if isinstance(outcome, Order) and outcome.verb != "kill":
                outcome = self._drain(life, outcome, grace)
            elif not life.ready:
                life.ask()
                self._wait_ended(life, STOP_PATIENCE)
        life.kill()
        self._tail = tuple(life.pump.tail) if life.pump else ()
        leftovers.sweep(None, self._engine.shared_memory, since=self.server.started_at)
        return outcome

    def _drain(self, life: Life, order: Order, grace: float) -> Order:
        """Let running answers finish within ``grace`` seconds, or what a later order says."""
        running = _total(life) if life.ready else 0
        self._update(state="stopping", drained=Drained(running=running, cut=None, grace=grace))
        began = time.monotonic()
        deadline = began + (grace if life.ready else STOP_PATIENCE)
        if grace or not life.ready:
            life.ask()
        while life.code is None and (left := deadline - time.monotonic()) > 0:
            event = self._next(left)
            if isinstance(event, Order) and event.verb in ("stop", "kill"):
                deadline = min(deadline, time.monotonic() + (0.0 if event.verb == "kill" else event.grace))
                order = event if event.verb == "stop" else replace(order, verb="stop")
        cut = self._cut(life, running)
        who = clients.connected(self.server.port) if cut else ()
        had = min(grace, time.monotonic() - began)  # a later order may have shortened it
        self._update(drained=Drained(running=running, cut=cut, grace=round(had, 1), clients=who))
        return order

    def _cut(self, life: Life, running: int | None) -> int | None:
        """How many of the answers that were running are so still."""
        if running is None or life.code is not None or not running:
            return None if running is None else 0
        left = _total(life)
        if left is None:
            left = life.connections()
        return None if left is None else min(running, left)

    def _wait_ended(self, life: Life, within: float) -> None:
        deadline = time.monotonic() + within
        while life.code is None and (left := deadline - time.monotonic()) > 0:
            self._next(left)

    def _again(self, life: Life, outcome: Failure | Order) -> bool:
        """Whether another life is to begin, now that its time has come."""
        if isinstance(outcome, Order):
            self._forget = outcome.forget
            return outcome.verb == "restart"
        self._note_ending(outcome)
        if self._eased(outcome):
            return True
        pause = self._restarts.pause(outcome, been_ready=self._been_ready) if self.request.restart else None
        if pause is None:
            return False
        self._update(state="restarting", stage="", process=None, workers=(), restarts=self.server.restarts + 1)
        self._log(f"{outcome.message} Starting it again in {pause:g} s.")
        self._tell("restarting", failure=to_json(outcome), tail=list(self._tail), pause=pause)
        deadline = time.monotonic() + pause
        while (left := deadline - time.monotonic()) > 0:
            event = self._next(left)
            if isinstance(event, Order):
                return self._again(life, event)
        return True

    def _eased(self, failure: Failure) -> bool:
        """Whether memory was missing and one flag can be changed: once, and before anybody relied on the server."""
        if self._been_ready or self.server.eased is not None or not self.request.retry:
            return False
        stage = self.server.stage or "start"
        change = self._engine.ease(self._launch.argv, failure, stage, kept=self.request.kept)
        if change is None:
            return False
        self._launch = replace(self._launch, argv=applied(self._launch.argv, change))
        self.request = replace(self.request, launch=self._launch)
        self._update(eased=change)
        self._save()
        self._log(f"{failure.message} Trying again with {change.flag} {change.after}.")
        self._tell("eased", eased=to_json(change))
        return True

    def _note_ending(self, failure: Failure) -> None:
        self._update(last_ending=Ending(failure=to_json(failure), tail=self._tail, at=time.time()))

    def _log(self, text: str) -> None:
        """A line of ours between the engine's."""
        file = LogFile(self.server.log)
        file.write(f"[llmserve] {text}".encode())
        file.close()

    def _conclude(self, outcome: Failure | Order) -> int:
        leftovers.sweep(self.server.temporary, self._engine.shared_memory, since=self.server.started_at)
        self._forget_files()
        self._update(temporary=None, process=None, workers=())
        if isinstance(outcome, Order):
            if outcome.forget or self._forget:
                registry.remove(self.server)
            else:
                self._update(state="stopped")
            self._tell("stopped")
            return 0
        if not self._been_ready:
            keys.forget(Path(self.server.directory))
            saved.forget(Path(self.server.directory))
        if not self._been_ready and (change := self.server.eased):
            message = f"{outcome.message} (Also with {change.flag} {change.after}.)"
            outcome = replace(outcome, message=message)
        self._update(state="failed", error=to_json(outcome))
        self._tell("failed", failure=to_json(outcome), tail=list(self._tail))
        return outcome.exit_code

    def _save(self) -> None:
        self._update()
        with contextlib.suppress(OSError):  # then it cannot be started again, once stopped; it can be served
            saved.save(self.request)

    def _forget_files(self) -> None:
        """Engines read their files once, at the start: a key need not lie around."""
        for name in self._launch.files:
            (Path(self.server.directory) / name).unlink(missing_ok=True)

    def _on_progress(self, progress: Progress) -> None:
        if progress.stage != self.server.stage and self.server.state == "starting":
            self._update(stage=progress.stage)
        if _heard():
            self._tell("progress", progress=to_json(progress))

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


def _heard() -> bool:
    """Whether `up` takes what is told: one that is stopped must not stop the engine's log."""
    return bool(select.select([], [sys.stdout], [], 0)[1])


def _total(life: Life) -> int | None:
    found = life.load()
    return found.total if found else None
