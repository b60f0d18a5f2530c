"""What lies in the Hugging Face cache: models with their size, last use and state, read without the hub's client.

Layout: ``models--ORG--NAME/{refs/BRANCH, snapshots/COMMIT/FILE -> ../../blobs/HASH, trees/COMMIT.json}``. Data sets and
spaces of other tools lie beside them and are not looked at. Nothing here changes a file, not even its time of access.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llmserve.models.hub import settings as hub_settings

PREFIX = "models--"
UNFINISHED = ".incomplete"
"""Part of the names of files that hold a piece of a blob, and of what is noted beside them."""

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx", ".msgpack", ".h5")


@dataclass(frozen=True, kw_only=True)
class CachedFile:
    """One file of a snapshot. ``blob`` is where its content lies; ``size_bytes`` is None if that is gone."""

    name: str
    path: Path
    blob: Path
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One commit of a repository, as far as it is here. ``refs`` are the branches and tags that stand for it."""

    commit: str
    path: Path
    refs: tuple[str, ...]
    files: tuple[CachedFile, ...]

    @property
    def blobs(self) -> dict[Path, int]:
        return {file.blob: file.size_bytes or 0 for file in self.files}


@dataclass(frozen=True, kw_only=True)
class Partial:
    """A piece of a blob, of which ``size_bytes`` are on the disk."""

    path: Path
    size_bytes: int
    modified: float


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model repository in the cache.

    ``size_bytes`` is what its folder takes on the disk, partial files included; ``last_used`` in seconds since the
    epoch. ``snapshots`` stand in the order of their making, the one of ``main`` first.
    """

    repo: str
    path: Path
    snapshots: tuple[Snapshot, ...]
    partials: tuple[Partial, ...]
    size_bytes: int
    last_used: float

    @property
    def partial_bytes(self) -> int:
        return sum(partial.size_bytes for partial in self.partials)

    @cached_property
    def unused_seconds(self) -> float:
        return max(0.0, time.time() - self.last_used)

    @property
    def blobs(self) -> dict[Path, int]:
        return {blob: size for snapshot in self.snapshots for blob, size in snapshot.blobs.items()}


def scan(folder: Path | None = None) -> tuple[Entry, ...]:
    """The models in the cache, by name. A cache that is not there is empty.

    Raises:
        OSError: the cache cannot be read.
    """
    folder = folder or hub_settings.cache_folder()
    try:
        paths = sorted(folder.iterdir(), key=lambda path: path.name.lower())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    found = (path for path in paths if path.name.startswith(PREFIX) and path.name != PREFIX)
    return tuple(_entry(path) for path in found if path.is_dir())


def times_are_kept(folder: Path | None = None) -> bool:
    """Whether the file system notes when a file was read; where it does not, last use means the time of the fetch."""
    try:
        return not os.statvfs(folder or hub_settings.cache_folder()).f_flag & os.ST_NOATIME
    except (OSError, AttributeError):
        return True


def _entry(path: Path) -> Entry:
    refs = _refs(path / "refs")
    snapshots = sorted(_snapshots(path / "snapshots", refs), key=lambda one: ("main" not in one.refs, _made(one.path)))
    blobs, partials = _blobs(path / "blobs")
    loose = {file.blob: file.size_bytes or 0 for one in snapshots for file in one.files if file.blob not in blobs}
    partial = sum(partial.size_bytes for partial in partials)
    return Entry(
        repo=path.name.removeprefix(PREFIX).replace("--", "/"),
        path=path,
        snapshots=tuple(snapshots),
        partials=partials,
        size_bytes=sum(blobs.values()) + sum(loose.values()) + partial,
        last_used=_last_used(path, snapshots, partials),
    )


def _refs(folder: Path) -> dict[str, list[str]]:
    """Commit -> branches and tags."""
    found: dict[str, list[str]] = {}
    for path in _files(folder):
        try:
            commit = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue
        found.setdefault(commit, []).append(path.relative_to(folder).as_posix())
    return found


def _snapshots(folder: Path, refs: dict[str, list[str]]) -> Iterator[Snapshot]:
    for path in _listed(folder):
        if path.is_dir() and not path.is_symlink():
            files = tuple(_file(path, found) for found in sorted(_files(path)))
            yield Snapshot(commit=path.name, path=path, refs=tuple(sorted(refs.get(path.name, ()))), files=files)


def _file(snapshot: Path, path: Path) -> CachedFile:
    """The first link alone is followed: a blob may itself be a link to a store that several repositories share."""
    blob = Path(os.path.normpath(path.parent / path.readlink())) if path.is_symlink() else path
    try:
        size = blob.stat().st_size
    except OSError:
        size = None
    return CachedFile(name=path.relative_to(snapshot).as_posix(), path=path, blob=blob, size_bytes=size)


def _blobs(folder: Path) -> tuple[dict[Path, int], tuple[Partial, ...]]:
    """Sizes of the finished blobs, and the partial files: what those take on the disk, as they may have holes."""
    finished: dict[Path, int] = {}
    partials: list[Partial] = []
    for path in _listed(folder):
        try:
            status = path.stat()
        except OSError:
            continue
        if UNFINISHED in path.name:
            taken = min(status.st_size, status.st_blocks * 512)
            partials.append(Partial(path=path, size_bytes=taken, modified=status.st_mtime))
        else:
            finished[path] = status.st_size
    return finished, tuple(partials)


def _last_used(folder: Path, snapshots: Sequence[Snapshot], partials: Sequence[Partial]) -> float:
    """By the weights, where there are any: their companions are read by whoever lists models."""
    files = [file for snapshot in snapshots for file in snapshot.files]
    weights = [file for file in files if file.name.lower().endswith(_WEIGHTS)]
    times = [partial.modified for partial in partials]
    for blob in {file.blob for file in weights or files}:
        try:
            status = blob.stat()
        except OSError:
            continue
        times.append(max(status.st_atime, status.st_mtime))
    return max(times) if times else _made(folder)


def _made(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _files(folder: Path) -> Iterator[Path]:
    """All files and links below ``folder``, links to folders included."""
    for path in _listed(folder):
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _listed(folder: Path) -> list[Path]:
    try:
        return [Path(item.path) for item in os.scandir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []
