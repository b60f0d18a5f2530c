"""What disks and power cuts do, and clocks as file systems keep them."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.fakes.hub_cache import age
from tests.faults.registry import CASES, MIDDLE, Case, Skip, case
from tests.faults.world import CHUNK, REPO, World


@case("partial files of next year")
def _future(world: World) -> None:
    world.hub.rate = 8e6
    world.killed(2 * MIDDLE, signal.SIGKILL)
    for path in world.repository.rglob("*"):
        age(path, -365) if path.exists() else None
    world.again()


@case("partial files of 1970")
def _past(world: World) -> None:
    world.hub.rate = 8e6
    world.killed(2 * MIDDLE, signal.SIGKILL)
    for path in world.repository.rglob("*"):
        os.utime(path, (0, 0)) if path.exists() else None
    world.again()


def _unfinished(world: World, part: str) -> list[Path]:
    """The files of unfinished downloads: ``pieces`` or ``journal``."""
    found = [path for path in (world.repository / "blobs").iterdir() if path.name.endswith(".incomplete")]
    return [path for path in found if ("journal" in path.name) == (part == "journal")]


def _power(part: str, damage: Callable[[Path], object], *, noted: bool) -> Case:
    """What a power cut may leave of the unfinished files. ``noted``: what is still there is still known."""

    def run(world: World) -> None:
        world.hub.rate = 8e6
        world.killed(2 * MIDDLE, signal.SIGKILL)
        touched = _unfinished(world, part)
        world.torn = CHUNK * len(touched)  # of a chunk that is cut, what is left of it cannot be told from damage
        assert touched, "the run left no unfinished files"
        for path in touched:
            damage(path)
        world.again()
        if not noted:
            world.excuse()  # nobody can know what is there: it was the note that was lost

    return run


def _cut(path: Path, share: float = 0.5) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def _blank(path: Path) -> None:
    """The length is there and the bytes are not, as delayed allocation leaves it."""
    size = path.stat().st_size
    os.truncate(path, size // 2)
    os.truncate(path, size)


def _scribble(path: Path) -> None:
    path.write_bytes(random.Random(5).randbytes(path.stat().st_size))


CASES["power cut: pieces cut in half"] = _power("pieces", _cut, noted=True)
CASES["power cut: half of the pieces blank"] = _power("pieces", _blank, noted=False)
CASES["power cut: pieces empty"] = _power("pieces", lambda path: _cut(path, 0), noted=True)
CASES["power cut: pieces gone"] = _power("pieces", Path.unlink, noted=True)
CASES["power cut: journal cut in half"] = _power("journal", _cut, noted=False)
CASES["power cut: journal blank"] = _power("journal", _blank, noted=False)
CASES["power cut: journal nonsense"] = _power("journal", _scribble, noted=False)
CASES["power cut: journal gone"] = _power("journal", Path.unlink, noted=False)


@case("power cut: a finished file cut short")
def _short_blob(world: World) -> None:
    world.complete(world.pull())
    link = world.repository / "snapshots" / world.hub.repos[REPO].commit / "model-00002-of-00003.safetensors"
    blob = link.resolve()
    blob.chmod(0o644)
    _cut(blob)
    world.hub.served.clear()
    world.complete(world.pull())
    assert {name for name, count in world.hub.served.items() if count} <= {link.name}
    world.excuse()  # half of a finished file carries no note


@case("power cut: the reference empty")
def _empty_ref(world: World) -> None:
    world.complete(world.pull())
    (world.repository / "refs" / "main").write_text("")
    for listing in (world.repository / "trees").glob("*"):
        listing.write_text("")
    world.complete(world.pull())


def _filling(world: World) -> None:
    """Take all room that the file system has left."""
    room = os.statvfs(world.cache)
    with (world.cache / "filler").open("wb") as file, _until_full():
        file.write(bytes(room.f_bavail * room.f_frsize + 4096))


class _until_full:  # noqa: N801
    def __enter__(self) -> None: ...
    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, OSError) and error.errno == errno.ENOSPC


def mounted(folder: Path, options: str) -> bool:
    """Whether a small file system could be mounted: only root may, and not in every container."""
    folder.mkdir(exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return os.getuid() == 0 and subprocess.run(argv, capture_output=True, check=False).returncode == 0


@case("disk full")
def _disk_full(world: World) -> None:
    if not mounted(world.cache, "size=90m"):
        raise Skip("no file system can be mounted here")
    try:
        world.hub.rate = 8e6
        world.hub.at(MIDDLE, lambda: _filling(world))
        world.refused(world.pull(), 3)
        (world.cache / "filler").unlink()
        world.again()
    finally:
        subprocess.run(["umount", "-l", str(world.cache)], check=False)


@case("disk full before the first byte")
def _no_room(world: World) -> None:
    if not mounted(world.cache, "size=1m"):
        raise Skip("no file system can be mounted here")
    try:
        ended = world.pull()
        world.refused(ended, 3)
        assert not any(name.endswith(".safetensors") for name in world.hub.served)
        subprocess.run(["mount", "-o", "remount,size=90m", str(world.cache)], check=True)
        world.again()
    finally:
        subprocess.run(["umount", "-l", str(world.cache)], check=False)


@case("files may not grow")
def _limit(world: World) -> None:
    """A limit on the size of files, as quotas and old file systems have it."""
    world.refused(world.pull(limit=500_000), 1, 3)
    world.again()


@case("read-only cache")
def _read_only(world: World) -> None:
    if not mounted(world.cache, "size=90m"):
        raise Skip("no file system can be mounted here")
    try:
        world.hub.rate = 8e6
        world.killed(MIDDLE, signal.SIGKILL)
        subprocess.run(["mount", "-o", "remount,ro", str(world.cache)], check=True)
        world.refused(world.pull())
        subprocess.run(["mount", "-o", "remount,rw", str(world.cache)], check=True)
        world.again()
    finally:
        subprocess.run(["umount", "-l", str(world.cache)], check=False)


@case("read-only cache that is complete")
def _read_only_complete(world: World) -> None:
    if not mounted(world.cache, "size=90m"):
        raise Skip("no file system can be mounted here")
    try:
        world.complete(world.pull())
        subprocess.run(["mount", "-o", "remount,ro", str(world.cache)], check=True)
        world.hub.served.clear()
        world.complete(world.pull())
        assert world.hub.total == 0
    finally:
        subprocess.run(["umount", "-l", str(world.cache)], check=False)
