"""Files that the cache has already, copied into a plain folder: what is on this disk is not fetched again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from llmserve.models.hub.plan import FetchPlan, Wanted

_PIECE = 8 * 1024**2


def copied(plan: FetchPlan, report: Callable[[Wanted, int], None] | None = None) -> FetchPlan:
    """Copy what can be copied. Returns the plan of the rest: a cached file that proves damaged is to be fetched.

    ``report`` is told, piece by piece, the file and how much of it stands.
    """
    return replace(plan, files=tuple(_brought(file, plan.folder, report) for file in plan.files))


def _brought(file: Wanted, folder: Path, report: Callable[[Wanted, int], None] | None) -> Wanted:
    if file.copy_from is None:
        return file
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.copy")
    try:
        sound = _copy(file, file.copy_from, unfinished, report)
        if sound:
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return replace(file, copy_from=None, cached=sound)


def _copy(file: Wanted, source: Path, target: Path, report: Callable[[Wanted, int], None] | None) -> bool:
    """Whether what was copied has the hash, or at least the size, that it should have."""
    done, digest = 0, _digest(file)
    with target.open("wb") as into:
        for piece in _pieces(source):
            into.write(piece)
            digest.update(piece)
            done += len(piece)
            if report:
                report(file, done)
    expected = file.sha256 or file.git_sha1
    return done == file.size_bytes and expected in (None, digest.hexdigest())


def _digest(file: Wanted) -> hashlib._Hash:
    if file.git_sha1 and not file.sha256:
        return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
    return hashlib.sha256()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
