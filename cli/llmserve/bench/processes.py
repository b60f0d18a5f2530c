"""A stage in as many processes as it takes: one, until its core is full.

Each process has its own loop and its part of the users, the arrivals and the requests; all have the kernel's clock.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import time
from dataclasses import replace
from typing import IO

from llmserve.bench.drive import Drive
from llmserve.bench.loop import Loop
from llmserve.bench.settings import Settings, Stage
from llmserve.bench.supply import Part, Source, drive
from llmserve.bench.table import Table
from llmserve.bench.tally import Tally
from llmserve.errors import LlmserveError

__all__ = ["cores", "load"]

FULL = 0.92  # of a core
LOOK_S, SOON_S = 1.0, 10.0  # over how long; and how long after the beginning it is not too late to begin anew
BEGIN_NS = 250_000_000


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load(loop: Loop, settings: Settings, stage: Stage, number: int, source: Source) -> tuple[list[Tally], str]:
    """Run ``stage``, and add its rows to the loop's table; what each process noted, and what there is to say.

    If one core is soon full and there are more, the stage begins anew with more processes; what was sent until then
    is not counted.
    """
    most = settings.processes or min(cores(), stage.most_connections)
    of, note = settings.processes or 1, ""
    table, tally = loop.table, loop.tally
    while True:
        fresh = Table()
        loop.renew(fresh, Tally())
        watch = Watch(loop) if of < most else None
        tallies = _run(loop, settings, stage, number, source, of)
        loop.renew(table, tally)
        if watch and watch.end():
            fresh.close()
            of = min(most, of * 2)
            note = f"One process was not enough: the load began anew with {of}."
            continue
        table.extend(fresh)
        fresh.close()
        for one in tallies:
            tally.examples.update(one.examples)
            tally.stopped, tally.gave_up = tally.stopped or one.stopped, tally.gave_up or one.gave_up
            tally.resent += one.resent
        return tallies, note


class Watch:
    """Looks at how full the core is, and cuts the stage off once it is, if that is seen soon."""

    def __init__(self, loop: Loop) -> None:
        self._loop, self._before = loop, loop.watch
        self._began = self._at = time.monotonic()
        self._cpu = time.process_time()
        loop.watch = self

    def __call__(self, loop: Loop) -> None:
        if self._before:
            self._before(loop)
        now = time.monotonic()
        if now - self._at < LOOK_S:
            return
        share = (time.process_time() - self._cpu) / (now - self._at)
        self._at, self._cpu = now, time.process_time()
        loop.cut = loop.cut or (share > FULL and now - self._began < SOON_S)

    def end(self) -> bool:
        """Whether the stage was cut off."""
        cut, self._loop.watch, self._loop.cut = self._loop.cut, self._before, False
        return cut and not self._loop.stop


def _run(loop: Loop, settings: Settings, stage: Stage, number: int, source: Source, of: int) -> list[Tally]:
    begin = time.monotonic_ns() + BEGIN_NS if of > 1 else None
    children: list[Child] = []
    try:
        children.extend(Child(loop, settings, stage, number, source, Part(index, of), begin) for index in range(1, of))
        _one(loop, replace(drive(settings, stage, number, source, Part(0, of)), begin_ns=begin), stage)
        return [loop.tally, *(child.result(loop) for child in children)]
    finally:
        for child in children:
            child.end()


def _one(loop: Loop, what: Drive, stage: Stage) -> None:
    if not stage.open_loop:
        loop.connect_ahead(min(what.users, stage.requests or what.users))
    loop.run(what)


class Child:
    """Another process with its part of a stage."""

    def __init__(self, loop: Loop, settings: Settings, stage: Stage, number: int, source: Source, part: Part,
                 begin: int | None) -> None:  # fmt: skip
        read, write = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        self._told = False
        if self.pid:
            os.close(write)
            self._file: IO[bytes] = os.fdopen(read, "rb")
            return
        code = 1
        try:
            os.close(read)
            with os.fdopen(write, "wb") as file:
                _work(loop, replace(drive(settings, stage, number, source, part), begin_ns=begin), stage, parent, file)
            code = 0
        finally:
            os._exit(code)

    def result(self, loop: Loop) -> Tally:
        """Wait for its end; its rows are added to those of ``loop``.

        Raises:
            LlmserveError: it ended without a result.
        """
        while not select.select([self._file], [], [], 0.1)[0]:
            if (loop.stop or loop.cut or loop.tally.gave_up) and not self._told:
                self._told = True
                os.kill(self.pid, signal.SIGTERM)
        try:
            tally: Tally = pickle.load(self._file)  # noqa: S301 - our own process
            loop.table.take(self._file)
        except (EOFError, pickle.UnpicklingError) as error:
            raise LlmserveError("A process of the load ended in its middle.", hint="Try --processes 1.") from error
        return tally

    def end(self) -> None:
        self._file.close()
        try:
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return


def _work(parents: Loop, what: Drive, stage: Stage, parent: int, file: IO[bytes]) -> None:
    """In the child: the parent's sockets are the parent's, and so are its rows."""
    parents.abandon()

    def orphaned(loop: Loop) -> None:
        loop.stop = loop.stop or os.getppid() != parent

    loop = Loop(parents.pool.target, parents.api, Table(), watch=orphaned, base_ns=parents.base_ns)

    def stop(*_: object) -> None:
        loop.stop = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    _one(loop, what, stage)
    pickle.dump(loop.tally, file)
    loop.table.give(file)
