"""A small file: fetched whole into memory, proven, and written at once."""

from __future__ import annotations

import os

from llmserve.models.hub import digest
from llmserve.models.hub.exchange import Client
from llmserve.models.hub.job import Job, end, ended_early, skip
from llmserve.models.hub.patience import Attempts

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def fetch(job: Job, client: Client, buffer: memoryview) -> None:
    """Bring a file that fits into ``buffer``.

    Raises:
        OffersXet: the hub's own client should fetch it.
        LlmserveError, Cancelled: see ``Job.persist``.
    """
    content = buffer[: job.size]
    while True:
        _fill(job, client, content)
        made = digest.begin(job.file)
        if made is None:
            break
        made.update(content)
        if made.hexdigest() == digest.expected(job.file):
            break
        job.arrived_wrong(made.hexdigest())
    _write(job, content)


def _fill(job: Job, client: Client, content: memoryview) -> None:
    """What came before a failure is not asked for again."""
    filled, attempts = 0, Attempts(job.work.patience)

    def work() -> None:
        nonlocal filled
        part = job.source.open(client, filled, len(content), xet=job.xet)
        skip(part, filled)
        while filled < len(content):
            count = part.answer.fill(content[filled:])
            if not count:
                raise ended_early()
            filled += count
            attempts.gained(count)
            job.work.meter.received(job.name, count)
        end(part.answer, last=True)

    if content:
        job.persist(work, attempts)


def _write(job: Job, content: memoryview) -> None:
    """Under the lock, and whole: a piece of it that a killed process left is overwritten."""
    pieces = job.place.pieces
    try:
        descriptor = os.open(pieces, _FLAGS, 0o666)
        try:
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)
    except BaseException:
        pieces.unlink(missing_ok=True)
        raise
    job.finish(journal=False)
