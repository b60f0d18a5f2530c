"""Checking cached files against their sizes and hashes, and fetching anew those that are damaged."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from llmserve.models.condition import open_quietly
from llmserve.models.expected import Expected, expected, hub_listing, kept_listing
from llmserve.models.house import CachedFile, Entry, Snapshot
from llmserve.models.hub.plan import FetchPlan, Wanted

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub, Listing

Problem = Literal["missing", "size", "hash", "unreadable"]
Told = Callable[[int, int, str], None]
"""Told of progress: bytes done, bytes in all, and a file's name."""

_PIECE = 4 * 1024**2
_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A file that is not as it ought to be; ``text`` is a clause about it."""

    file: CachedFile
    commit: str
    problem: Problem
    text: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """``unchecked`` are names of files for which nobody tells a hash. ``size_bytes`` were read."""

    files: int
    size_bytes: int
    findings: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(finding.file.name for finding in self.findings))


def verify(
    snapshots: Sequence[Snapshot], listings: Mapping[str, Mapping[str, Expected]], told: Told | None = None
) -> Report:
    """Check every file of ``snapshots``, each content once. ``listings`` (commit -> name) is what the hub says."""
    jobs: list[_Job] = []
    for snapshot in snapshots:
        known = (listings.get(snapshot.commit, {}), kept_listing(snapshot))
        jobs += [_Job(file, snapshot.commit, expected(file, *known)) for file in snapshot.files]
    unique = {(job.file.blob, job.expected): job for job in jobs}
    total = sum(job.file.size_bytes or 0 for job in unique.values())
    counter = _Counter(total, told)
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1), thread_name_prefix="verify") as pool:
        try:
            results = dict(zip(unique, pool.map(counter.check, unique.values()), strict=True))
        except BaseException:
            counter.stopped.set()  # Ctrl-C must not wait for the rest of a shard of 40 GB
            raise
    found = ((job, results[job.file.blob, job.expected]) for job in jobs)
    return Report(
        files=len(jobs),
        size_bytes=total,
        findings=tuple(
            Finding(file=job.file, commit=job.commit, problem=bad[0], text=bad[1]) for job, bad in found if bad
        ),
        unchecked=tuple(job.file.name for job in jobs if job.expected.content_hash is None),
    )


def mend(entry: Entry, findings: Iterable[Finding], hub: Hub, told: Told | None = None) -> tuple[str, ...]:
    """Fetch the damaged files again, and nothing else; returns their names.

    Raises:
        LlmserveError: the hub is out of reach (nothing has been removed then), or has no such files any more.
    """
    from llmserve.models.hub.download import download

    by_commit: dict[str, list[Finding]] = {}
    for finding in findings:
        by_commit.setdefault(finding.commit, []).append(finding)
    snapshots = {snapshot.commit: snapshot for snapshot in entry.snapshots}
    listings = {commit: hub.listing(entry.repo, commit) for commit in by_commit}
    for commit, found in by_commit.items():
        plan = _plan(entry, snapshots[commit], listings[commit], {finding.file.name for finding in found})
        here = {file.name for file in plan.files}
        for finding in found:
            if finding.file.name in here:  # what the hub does not have, nobody could bring back
                _discard(finding.file, entry)
        download(hub, plan, on=lambda event: told(event.done_bytes, event.total_bytes, "") if told else None)
    return tuple(dict.fromkeys(finding.file.name for found in by_commit.values() for finding in found))


def _plan(entry: Entry, snapshot: Snapshot, listing: Listing, names: set[str]) -> FetchPlan:
    told = hub_listing(listing)
    revision = snapshot.refs[0] if snapshot.refs else snapshot.commit
    files = tuple(_wanted(name, told[name]) for name in sorted(names) if name in told)
    return FetchPlan(
        repo=entry.repo, commit=snapshot.commit, revision=revision, folder=snapshot.path, files=files,
    )  # fmt: skip


def _wanted(name: str, file: Expected) -> Wanted:
    large = len(file.content_hash or "") == 64
    return Wanted(
        name=name, size_bytes=file.size_bytes or 0, etag=file.content_hash, why="damaged",
        sha256=file.content_hash if large else None, git_sha1=None if large else file.content_hash,
    )  # fmt: skip


def _discard(file: CachedFile, entry: Entry) -> None:
    """A damaged blob, and where it is a link to the store that repositories share, what it leads to."""
    store = entry.path.parent / "blobs"
    target = file.blob.resolve()
    for path in (file.path, file.blob, target):
        if {entry.path, store} & set(path.parents):  # a link may lead anywhere
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


@dataclass(frozen=True)
class _Job:
    file: CachedFile
    commit: str
    expected: Expected


@dataclass
class _Counter:
    """Progress of several threads."""

    total: int
    told: Told | None
    done: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, job: _Job) -> tuple[Problem, str] | None:
        """What is wrong with a file."""
        size, wanted = job.file.size_bytes, job.expected
        if size is None:
            return "missing", "its content is gone"
        if wanted.size_bytes is not None and size != wanted.size_bytes:
            self._add(size, job.file.name)
            return "size", f"has {size:,} bytes instead of {wanted.size_bytes:,}"
        if wanted.content_hash is None:
            self._add(size, job.file.name)
            return None
        try:
            found = self._digest(job.file, size, wanted.content_hash)
        except OSError as error:
            return "unreadable", f"cannot be read: {error.strerror}"
        kind = "SHA-256" if len(found) == 64 else "git SHA-1"
        return None if found == wanted.content_hash else ("hash", f"has another content: its {kind} is not right")

    def _digest(self, file: CachedFile, size: int, wanted: str) -> str:
        digest = hashlib.sha256() if len(wanted) == 64 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        buffer = memoryview(bytearray(min(_PIECE, size) or 1))
        with os.fdopen(open_quietly(file.blob), "rb", buffering=0) as source:
            while count := source.readinto(buffer):
                digest.update(buffer[:count])
                self._add(count, file.name)
                if self.stopped.is_set():
                    break
        return digest.hexdigest()

    def _add(self, count: int, name: str) -> None:
        with self._lock:
            self.done += count
            if self.told:
                self.told(self.done, self.total, name)
