"""The threads of a download, and what each does next."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from llmserve.models.hub import download_errors, small, xet
from llmserve.models.hub.exchange import Cancelled, Client, Trust
from llmserve.models.hub.job import PIECE, Job, Work
from llmserve.models.hub.large import Large, Run
from llmserve.models.hub.source import OffersXet

SIZE = 8
"""Threads, and so connections: as many as the hub's own client has."""

_POLL = 0.2  # seconds between two looks at a lock that another process holds
_LEAVE = 0.4  # seconds that threads are given to end when the user has had enough

Task = Callable[[Client, memoryview], None]


class Crew:
    """Fetches ``jobs``, while the caller's thread looks on. ``error``: what ended it, if not the work."""

    def __init__(self, work: Work, jobs: Iterable[Job]) -> None:
        self._work = work
        self._pending = deque(jobs)
        self._open: list[Large] = []
        self._elsewhere: deque[Job] = deque()
        self._change = threading.Condition()
        self._active = 0
        threads = min(SIZE, sum(1 if job.small else SIZE for job in self._pending))
        trust = Trust()
        self._clients = [Client(work.patience, trust) for _ in range(threads)]
        self._remaining = threads
        self._ended = threading.Event()
        self.error: BaseException | None = None

    def start(self) -> None:
        for client in self._clients:
            threading.Thread(target=self._run, args=(client,), name="fetch", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether all threads have ended, within ``seconds``. Ends waits of theirs that have lasted too long."""
        if self._ended.wait(seconds):
            return True
        now = time.monotonic()
        for client in self._clients:
            client.expire(now)
        return False

    def stop(self, error: BaseException | None = None) -> None:
        """End all work, wherever it is; what was fetched stays. A thread that hangs in the system ends later."""
        with self._change:
            self.error = self.error or error
            self._work.cancelled.set()
            self._change.notify_all()
        xet.abort()
        for client in self._clients:
            client.abort()

    def leave(self) -> None:
        """``stop``, and wait a moment for the threads."""
        self.stop()
        self._ended.wait(_LEAVE)

    def _run(self, client: Client) -> None:
        buffer = memoryview(bytearray(PIECE))
        try:
            while (task := self._next()) is not None:
                try:
                    task(client, buffer)
                finally:
                    self._done()
        except Cancelled:
            pass
        except BaseException as error:
            self.stop(download_errors.told(error, self._work.plan.folder))
        finally:
            client.close()
            self._go()

    def _done(self) -> None:
        with self._change:
            self._active -= 1
            self._change.notify_all()

    def _go(self) -> None:
        """The last one closes what is open: nobody writes there any more."""
        with self._change:
            self._remaining -= 1
            if self._remaining:
                return
        for large in self._open:
            large.close()
        self._ended.set()

    def _next(self) -> Task | None:
        with self._change:
            while not self._work.cancelled.is_set():
                task = self._choose()
                if task is not None:
                    self._active += 1
                    return task
                if not (self._pending or self._open or self._elsewhere or self._active):
                    return None
                self._change.wait(_POLL)
        return None

    def _choose(self) -> Task | None:
        if self._pending:
            return partial(self._begin, self._pending.popleft())
        for large in sorted(self._open, key=lambda large: len(large.runs)):
            run = large.take(whole=False)
            if run is not None:
                return partial(self._go_on, large, run)
        if self._elsewhere and self._elsewhere[0].retry_at <= time.monotonic():
            return partial(self._begin, self._elsewhere.popleft())
        return None

    def _begin(self, job: Job, client: Client, buffer: memoryview) -> None:
        if not job.lock(client):
            job.retry_at = time.monotonic() + _POLL
            with self._change:
                self._elsewhere.append(job)
        elif job.is_here():
            job.adopt()
        elif job.small:
            self._begin_small(job, client, buffer)
        else:
            self._begin_large(self._opened(job), client, buffer)

    def _begin_small(self, job: Job, client: Client, buffer: memoryview) -> None:
        try:
            small.fetch(job, client, buffer)
        except OffersXet:
            self._leave_to_xet(job)
        finally:
            job.release()

    def _opened(self, job: Job) -> Large:
        try:
            large = Large(job)
        except BaseException:
            job.release()
            raise
        with self._change:
            self._open.append(large)
        return large

    def _begin_large(self, large: Large, client: Client, buffer: memoryview) -> None:
        with self._change:
            run = large.take(whole=bool(self._pending))
        if run is None:  # all of it is here already
            self._settle(large, buffer)
        else:
            self._go_on(large, run, client, buffer)

    def _go_on(self, large: Large, run: Run | None, client: Client, buffer: memoryview) -> None:
        while run is not None:
            try:
                large.stream(client, run, buffer)
            except OffersXet:
                self._close(large, remove=True)
                self._leave_to_xet(large.job)
                return
            if self._settle(large, buffer):
                return
            with self._change:
                run = large.take(whole=bool(self._pending)) if large in self._open else None

    def _settle(self, large: Large, buffer: memoryview) -> bool:
        if large.settle(buffer):
            self._close(large)
            return True
        return False

    def _close(self, large: Large, *, remove: bool = False) -> None:
        with self._change:
            self._open.remove(large)
        large.close(remove=remove)

    def _leave_to_xet(self, job: Job) -> None:
        job.release()
        if not xet.fetch(job):
            job.xet = False
            with self._change:
                self._pending.append(job)
