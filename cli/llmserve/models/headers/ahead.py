"""Reads that are begun before their results are asked for, so that many short waits become one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

_APART = 0.001  # seconds between two reads: servers with short queues drop connections that come all at once
_LATE, _TIMES = 0.25, 3  # a read is late after so many seconds, and so many times what half of the others took
_ENOUGH = 8  # reads from which that can be told
_PATIENCE = 0.1  # seconds in which reads that nobody wants any more may end

Answer = TypeVar("Answer")


class Ahead:
    """``start`` a read, call what it returns for the result. With ``at_once`` 0 it is only read then, as for a disk.

    A read that is late is done a second time (if it may be done ``again``), and what comes first counts: among hundreds
    of requests, one that was lost would hold up all. The threads end with the ``with`` block; reads that were not begun
    by then are dropped.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._threads: list[Thread] = []
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ended = False
        self._turn = Lock()
        self._next = 0.0  # when the next read may begin
        self._begun: dict[Any, tuple[float, Callable[[], Any]]] = {}  # reads that may be done again, by their futures
        self._took: list[float] = []

    def start(self, read: Callable[[], Answer], *, again: bool = True) -> Callable[[], Answer]:
        if not self._at_once:
            return read
        from concurrent.futures import Future

        future: Future[Answer] = Future()
        self._submit(future, read, again=again)
        return partial(self._result, future)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended = True
        for _thread in self._threads:
            self._tasks.put(None)
        if error is None or isinstance(error, Exception):
            limit = time.monotonic() + _PATIENCE
            for thread in self._threads:
                thread.join(max(0.0, limit - time.monotonic()))

    def _submit(self, future: Future[Answer], read: Callable[[], Answer], *, again: bool) -> None:
        self._tasks.put(partial(self._do, future, read, again))
        if len(self._threads) < self._at_once:
            # A daemon, so that an interrupted command does not wait for a server that has gone silent.
            self._threads.append(Thread(target=self._work, daemon=True))
            self._threads[-1].start()

    def _result(self, future: Future[Answer]) -> Answer:
        while not future.done():
            self._repeat_late()
            with suppress(TimeoutError):
                return future.result(_LATE / 4)
        return future.result()

    def _repeat_late(self) -> None:
        if len(self._took) < _ENOUGH:
            return
        latest = time.monotonic() - max(_LATE, _TIMES * sorted(self._took)[len(self._took) // 2])
        for future, (began, read) in list(self._begun.items()):
            if began < latest and self._begun.pop(future, None) is not None:
                self._submit(future, read, again=False)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._wait()
            if not self._ended:
                task()

    def _wait(self) -> None:
        with self._turn:
            now = time.monotonic()
            begin = max(now, self._next)
            self._next = begin + _APART
        time.sleep(begin - now)

    def _do(self, future: Future[Answer], read: Callable[[], Answer], again: bool) -> None:
        from concurrent.futures import InvalidStateError

        if future.done():
            return
        began = time.monotonic()
        if again:
            self._begun[future] = began, read
        try:
            answer = read()
        except BaseException as error:
            with suppress(InvalidStateError):  # the other attempt was first
                future.set_exception(error)
        else:
            with suppress(InvalidStateError):
                future.set_result(answer)
        self._begun.pop(future, None)
        self._took.append(time.monotonic() - began)
