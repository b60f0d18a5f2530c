"""One file of a download: its lock, its retries, and how it gets its name in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llmserve.models.hub import digest, download_errors
from llmserve.models.hub.body import Answer
from llmserve.models.hub.exchange import Cancelled, Client
from llmserve.models.hub.locks import ContentLock
from llmserve.models.hub.partial import fetched
from llmserve.models.hub.patience import Attempts, Hiccup, Patience
from llmserve.models.hub.places import Place, Placing
from llmserve.models.hub.plan import FetchPlan, Wanted
from llmserve.models.hub.progress import Meter
from llmserve.models.hub.source import Part, Source

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub

PIECE = 1024**2
"""Bytes of the memory that each thread reads into; files of no more are fetched in one piece."""

_WRONG = 3  # times that a file may arrive with a wrong hash


@dataclass(frozen=True)
class Work:
    """What all files of one download share.

    ``xet``: whether the hub's own client can fetch from Xet storage. ``folders`` have been made.
    """

    hub: Hub
    plan: FetchPlan
    placing: Placing
    patience: Patience
    meter: Meter
    xet: bool
    folders: set[Path] = field(default_factory=set)
    cancelled: threading.Event = field(default_factory=threading.Event)


class Job:
    """A file to be brought. Only one thread deals with a job, but for ``persist``, which any may call."""

    def __init__(self, work: Work, file: Wanted) -> None:
        self.work, self.file = work, file
        self.name = file.name
        self.retry_at = 0.0
        self.xet = work.xet and file.sha256 is not None
        self.source = Source(work.hub, work.plan, file)
        self._lock: ContentLock | None = None
        self._wrong = 0
        self._counted = 0
        self.look()

    @property
    def size(self) -> int:
        return self.file.size_bytes

    @property
    def small(self) -> bool:
        return self.size <= min(PIECE, self.work.patience.chunk)

    @property
    def place(self) -> Place:
        return self.work.placing(self.file)

    def is_here(self) -> bool:
        """Whether another process, or an earlier one, has brought the whole file."""
        place = self.place
        if place.noted is not None:
            return place.is_shown(self.size) and place.note() == self.file.etag
        return place.is_whole(self.size)

    def look(self) -> None:
        """Count what is here of the file: from an earlier fetch, or by another process."""
        self.count(self._here())

    def _here(self) -> int:
        if self.file.etag is None or self.small:
            return 0
        return fetched(self.place, self.size, self.work.patience.chunk)

    def count(self, here: int) -> None:
        self.work.meter.found(self.name, here - self._counted)
        self._counted = here

    def lock(self, client: Client) -> bool:
        """Begin with the file, for this process alone; False if another one fetches it.

        Raises:
            OSError: the disk.
        """
        self.work.meter.begin(self.name, self.size, self._counted)
        if self.file.etag is None:
            self.persist(lambda: self._learn(client))
        place = self.place
        lock = ContentLock(place.lock)
        for folder in place.folders - self.work.folders:
            folder.mkdir(parents=True, exist_ok=True)
            self.work.folders.add(folder)
        if not lock.acquire():
            self.look()
            self.work.meter.state(self.name, "waiting", f"{self.name} is being fetched by another process")
            return False
        self._lock = lock
        self.work.meter.state(self.name, "fetching")
        return True

    def _learn(self, client: Client) -> None:
        etag = self.source.etag(client)
        known = set(etag) <= set("0123456789abcdef")
        sha256, sha1 = (etag if known and len(etag) == length else None for length in (64, 40))
        self.file = replace(self.file, etag=etag, sha256=sha256, git_sha1=sha1)

    def adopt(self) -> None:
        """Take what another process has brought."""
        self.place.adopt(self.work.plan.commit, self.file.etag or "")
        self._end()

    def finish(self, *, journal: bool) -> None:
        """The pieces are complete: put them in their place."""
        self.place.finish(self.work.plan.commit, self.file.etag or "", journal=journal)
        self._end()

    def _end(self) -> None:
        self.release()
        self.work.meter.end(self.name)

    def release(self) -> None:
        """Let other processes have the file."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def arrived_wrong(self, found: str) -> None:
        """All of the file came, and is not what the hub lists: it may be fetched again, but not for ever.

        Raises:
            LlmserveError: that was the last time.
        """
        self._wrong += 1
        self.work.meter.found(self.name, -self.size)
        if self._wrong >= _WRONG:
            raise download_errors.wrong_content(
                self.name, self.work.hub.endpoint, digest.expected(self.file) or "", found
            )
        self.source.forget()
        self.work.meter.state(self.name, "retrying", f"{self.name} arrived damaged and is fetched again")

    def persist(self, work: Callable[[], None], attempts: Attempts | None = None) -> None:
        """Do ``work`` until it is done, for as long as that is worth trying.

        Raises:
            LlmserveError: it is not worth it any more.
            Cancelled: the download is to end.
        """
        attempts, count = attempts or Attempts(self.work.patience), 0
        while True:
            try:
                work()
                return
            except Hiccup as hiccup:
                count += 1
                pause = attempts.pause(hiccup)
                if pause is None:
                    raise download_errors.gave_up(self.name, self.work.hub.endpoint, hiccup, count) from hiccup
                if attempts.fruitless:
                    self.source.forget()  # the hub may know a better place by now
                self._rest(hiccup, pause)

    def _rest(self, hiccup: Hiccup, pause: float) -> None:
        note = f"{self.name}: {hiccup.reason}; trying again in {pause:.1f} s"
        self.work.meter.state(self.name, "retrying", note)
        if self.work.cancelled.wait(pause):
            raise Cancelled from hiccup
        self.work.meter.state(self.name, "fetching")


def skip(part: Part, start: int) -> None:
    """Pass over what the server sends before byte ``start``."""
    surplus = start - part.offset
    scrap = memoryview(bytearray(min(surplus, PIECE)))
    while surplus:
        count = part.answer.fill(scrap[:surplus])
        if not count:
            raise ended_early()
        surplus -= count


def end(answer: Answer, *, last: bool) -> None:
    """Enough came; ``last``: nothing may follow."""
    if last and answer.left is None and answer.fill(memoryview(bytearray(1))):
        raise Hiccup("it is longer than the hub's list says", tries=_WRONG, code="wrong_size")
    answer.end()


def ended_early() -> Hiccup:
    return Hiccup("what the server sends ends early")
