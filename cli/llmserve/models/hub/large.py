"""A large file: chunks that several threads fetch, each a run of them in order, by as few requests as that takes."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from llmserve.models.hub import digest
from llmserve.models.hub.digest import Digest
from llmserve.models.hub.exchange import Client
from llmserve.models.hub.job import Job, end, ended_early, skip
from llmserve.models.hub.partial import Partial
from llmserve.models.hub.patience import Attempts
from llmserve.models.hub.source import OffersXet

_WINDOW = 4  # chunks of a run, where several connections fetch one file: the hash follows close behind
_WORTH = 128 * 1024**2  # bytes of a run that is split for an idle thread: what is on its way by then is lost


@dataclass(eq=False)
class Run:
    """Chunks that one thread fetches: ``index`` is the one at hand; others may take some off the end."""

    index: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.index


class Large:
    """A job in work. Threads share it; what is theirs alone, they pass: connections, and memory to read into.

    Raises:
        OSError: the disk, here and in all that follows.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.runs: list[Run] = []
        self.finished = False
        self._partial = Partial(job.place, job.size, job.work.patience.chunk)
        self._digest = Digest(job.file, self._partial)
        self._taken = [self._partial.is_whole(index) for index in range(self._partial.count)]
        self._mutex = threading.Lock()
        self._ranged = True  # the server sends parts of files
        self._xet = self._probing = job.xet and not self._partial.fetched
        job.count(self._partial.fetched)

    def take(self, *, whole: bool) -> Run | None:
        """Chunks to fetch: all that are left in a row, or a window; off another run's end where none are left."""
        with self._mutex:
            if self.finished or (self.runs and (self._probing or not self._ranged)):
                return None
            run = self._untouched(None if whole or not self._ranged else _WINDOW) or self._split()
            if run is not None:
                self.runs.append(run)
                self._mark(run, taken=True)
            return run

    def _untouched(self, most: int | None) -> Run | None:
        try:
            first = self._taken.index(False)
        except ValueError:
            return None
        run = Run(first, first + 1)
        while self._is_untouched(run.stop) and (most is None or len(run) < most):
            run.stop += 1
        return run

    def _is_untouched(self, index: int) -> bool:
        return index < len(self._taken) and not self._taken[index] and not self._partial.done[index]

    def _split(self) -> Run | None:
        longest = max(self.runs, key=len, default=None)
        if longest is None or len(longest) * self._partial.chunk < _WORTH:
            return None
        run = Run((longest.index + longest.stop + 1) // 2, longest.stop)
        longest.stop = run.index
        return run

    def _mark(self, run: Run, *, taken: bool) -> None:
        self._taken[run.index : run.stop] = [taken] * len(run)

    def stream(self, client: Client, run: Run, buffer: memoryview) -> None:
        """Fetch the chunks of a run.

        Raises:
            OffersXet: the hub's own client should fetch the file.
            LlmserveError, Cancelled: see ``Job.persist``.
        """
        attempts = Attempts(self.job.work.patience)
        try:
            self.job.persist(lambda: self._stream(client, run, buffer, attempts), attempts)
        except OffersXet:
            self.finished = True  # before the run is gone: no other thread is to begin
            raise
        finally:
            with self._mutex:
                self.runs.remove(run)
                self._mark(run, taken=False)

    def _stream(self, client: Client, run: Run, buffer: memoryview, attempts: Attempts) -> None:
        partial = self._partial
        while run:
            start = run.index * partial.chunk + partial.done[run.index]
            part = self.job.source.open(client, start, min(run.stop * partial.chunk, partial.size), xet=self._xet)
            self._probing = self._xet = False
            if not part.ranged and not self._goes_on_alone(run):
                part.answer.drop()
                return
            skip(part, start)
            while run:
                room = partial.length(run.index) - partial.done[run.index]
                count = part.answer.fill(buffer[: min(len(buffer), room)])
                if not count:
                    raise ended_early()
                attempts.gained(count)
                self._write(run, buffer[:count], buffer)
            end(part.answer, last=run.stop == partial.count)

    def _goes_on_alone(self, run: Run) -> bool:
        """The server sends whole files only: whether ``run`` is the first, which then goes as far as it can."""
        with self._mutex:
            self._ranged = False
            if any(other.index < run.index for other in self.runs):
                return False
            while self._is_untouched(run.stop):
                self._taken[run.stop] = True
                run.stop += 1
            return True

    def _write(self, run: Run, content: memoryview, buffer: memoryview) -> None:
        partial, index = self._partial, run.index
        begin, before = index * partial.chunk, partial.crc[index]
        offset = begin + partial.done[index]
        partial.write(index, content)
        self._digest.arrived(offset, content, before, partial.crc[index])
        self.job.work.meter.received(self.job.name, len(content))
        if partial.is_whole(index):
            with self._mutex:
                run.index += 1
            self._catch_up(buffer, wait=False)
        elif begin <= self._digest.position < offset:
            self._catch_up(buffer, wait=False)

    def _catch_up(self, buffer: memoryview, *, wait: bool) -> None:
        while (damaged := self._digest.catch_up(buffer, wait=wait)) is not None:
            with self._mutex:
                self.job.work.meter.found(self.job.name, -self._partial.done[damaged])
                self._partial.forget(damaged)
                if not any(run.index <= damaged < run.stop for run in self.runs):
                    self._taken[damaged] = False

    def settle(self, buffer: memoryview) -> bool:
        """Put the file in its place if it is complete; whether this call did."""
        if not self.runs:
            self.job.work.meter.state(self.job.name, "checking")
        self._catch_up(buffer, wait=True)
        with self._mutex:
            if self.finished or self.runs or not self._digest.complete:
                return False
            found = self._digest.result()
            if found != digest.expected(self.job.file):
                self._begin_again(found or "")
                return False
            self.finished = True
            self.job.finish(journal=True)
            return True

    def _begin_again(self, found: str) -> None:
        self._partial.forget_all()
        self._digest.reset()
        self._taken = [False] * self._partial.count
        self.job.arrived_wrong(found)

    def close(self, *, remove: bool = False) -> None:
        """Leave the file as it is, to be gone on with another time, or without a trace."""
        self._partial.close()
        if remove:
            self._partial.place.pieces.unlink(missing_ok=True)
            self._partial.place.journal.unlink(missing_ok=True)
        self.job.release()
