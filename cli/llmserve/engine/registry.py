"""The servers of this user on this machine: one private folder each, its record written atomically.

The files say what was; processes say what is. Every read here compares the two, so that a server whose keeper was
killed is never shown as running.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from llmserve import paths
from llmserve.engine import leftovers
from llmserve.engine.process import Identity
from llmserve.engine.server import RECORD_VERSION, Server
from llmserve.errors import LlmserveError, UsageError
from llmserve.records import from_json, to_json

RECORD = "server.json"
_HELD = "keeper.log"
_KEEPER = "keeper"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


_PATIENCE, _SAY_AFTER = 30.0, 1.0
"""Seconds for another llmserve to choose a name and a port, and after which a wait for it is said."""


@dataclass(frozen=True)
class Stray:
    """A server that lives, and whose record this version cannot read: damaged, or a newer version's."""

    name: str
    directory: Path
    keeper: Identity | None


def servers() -> list[Server]:
    """All servers on record, the newest first, with their state corrected by what is really alive."""
    found = [read(path.parent) for path in paths.servers_dir().glob(f"*/{RECORD}")]
    return sorted((server for server in found if server), key=lambda server: -server.started_at)


def strays() -> list[Stray]:
    """Live servers without a record that can be read."""
    folders = [path for path in paths.servers_dir().glob("*") if path.is_dir() and not path.is_symlink()]
    return [Stray(path.name, path, _keeper(path)) for path in sorted(folders) if read(path) is None and _held(path)]


def running() -> list[Server]:
    """Servers that are starting, ready or stopping, the newest first."""
    return [server for server in servers() if server.running]


def ports() -> dict[int, str]:
    """The ports of running servers, and whose they are."""
    return {server.port: server.name for server in running()}


def get(name: str) -> Server:
    """The server called ``name``.

    Raises:
        UsageError: there is none; the sentence lists those that exist.
    """
    known = servers()
    for server in known:
        if server.name == name:
            return server
    names = ", ".join(server.name for server in known)
    raise UsageError(
        f"There is no server called {name!r}.",
        hint=f"Servers here: {names}." if names else "`llmserve ps --all` lists what there is: nothing now.",
        code="unknown_server",
    )


def read(directory: Path) -> Server | None:
    """The record in ``directory``, or None where there is none that this version understands and this user wrote."""
    try:
        if (directory / RECORD).stat().st_uid != os.getuid():
            return None
        data = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        server = from_json(Server, data) if data.get("version") == RECORD_VERSION else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    # a record that was moved or written by hand may name any folder, and these are removed one day
    return _corrected(server) if server and Path(server.directory) == directory else None


def write(server: Server) -> None:
    paths.write_atomic(Path(server.directory) / RECORD, json.dumps(to_json(server), indent=2))


def mend(server: Server) -> None:
    """Write the record anew if it was damaged or removed. For the keeper, which knows better."""
    file = Path(server.directory) / RECORD
    with contextlib.suppress(OSError):
        try:
            whole = from_json(Server, json.loads(file.read_text(encoding="utf-8"))).keeper == server.keeper
        except (FileNotFoundError, ValueError, RecursionError):
            whole = False
        if not whole and file.parent.is_dir():
            write(server)


def remove(server: Server) -> None:
    """Forget a server that has ended, unless another one has taken its name meanwhile."""
    with locked():
        current = read(Path(server.directory))
        if current is None or current.keeper == server.keeper:
            _remove(server)


def remove_stray(stray: Stray) -> None:
    """Remove the folder of a server that has ended and whose record nobody can read."""
    with locked():
        if not _held(stray.directory):
            shutil.rmtree(stray.directory, ignore_errors=True)


def hold(folder: Path) -> TextIO:
    """Lock ``folder`` for as long as the returned file is open: its keeper lives, whatever the record looks like."""
    file = (folder / _HELD).open("a")
    fcntl.flock(file, fcntl.LOCK_EX)
    with contextlib.suppress(OSError):
        paths.write_atomic(folder / _KEEPER, json.dumps(to_json(Identity.of(os.getpid()))))
    return file


def _keeper(folder: Path) -> Identity | None:
    try:
        return from_json(Identity, json.loads((folder / _KEEPER).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _held(folder: Path) -> bool:
    try:
        with (folder / _HELD).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _remove(server: Server) -> None:
    """Its folders go, with log and key, and what its engine left elsewhere."""
    from llmserve.engine import engines

    known = engines().get(server.engine)
    temporary = server.temporary if Path(server.temporary or "").name.startswith("llmserve-") else None
    leftovers.sweep(temporary, known.shared_memory if known else (), since=server.started_at)
    shutil.rmtree(server.directory, ignore_errors=True)


def _corrected(server: Server) -> Server:
    if not server.running:
        return server
    if server.place and not server.place.here and not server.place.this_machine:
        # a lock is seen wherever the file system carries locks; the same boot means the same kernel, which does
        elsewhere = _held(Path(server.directory)) or not (server.keeper and server.keeper.this_boot)
        return replace(server, state="elsewhere" if elsewhere else "died")
    if not (server.keeper and server.keeper.alive):
        return replace(server, state="died")
    if server.state == "ready" and server.paused:
        return replace(server, state="paused")
    return server


@contextlib.contextmanager
def locked(waiting: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the registry while a name and a port are chosen, so that two ``up`` never take the same.

    ``waiting`` is told, once, when another process holds it for long.

    Raises:
        LlmserveError: the folder cannot be written, or another process does not let go.
    """
    folder = paths.servers_dir()
    try:
        lock = (paths.private_dir(folder) / ".lock").open("w")
    except OSError as error:
        raise LlmserveError(
            f"The state folder {folder} cannot be written: {error.strerror}.",
            hint="Set XDG_STATE_HOME to one that can.",
        ) from error
    with lock:
        _lock(lock, waiting)
        yield


def _lock(file: TextIO, waiting: Callable[[str], None]) -> None:
    began, said = time.monotonic(), False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
        if waited > _PATIENCE:
            raise LlmserveError(
                "Another llmserve that starts a server does not let go of the state folder.",
                hint=f"See who holds it: fuser {file.name}",
                code="busy",
            )
        if waited > _SAY_AFTER and not said:
            said = True
            waiting("Waiting for another llmserve that starts a server …")
        time.sleep(0.05)


def check_name(name: str | None) -> None:
    """Refuse what cannot name a server (UsageError)."""
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a server.", hint="Use lower-case letters, digits, '.', '_' and '-', at most 63."
        )


def claim(wanted: str | None, model: str) -> tuple[str, Path]:
    """A free name and its new, empty folder: ``wanted``, or one made from the model's. Call it under :func:`locked`.

    Raises:
        UsageError: ``wanted`` is no valid name, or a server of that name is running.
    """
    check_name(wanted)
    taken = {server.name for server in servers() if server.running or server.state == "elsewhere"} | {
        path.name for path in paths.servers_dir().glob("*") if path.is_dir() and _held(path)
    }
    if wanted in taken:
        raise UsageError(
            f"A server called {wanted!r} is running.",
            hint=f"Stop it with `llmserve down {wanted}`, or use another name.",
            code="name_taken",
        )
    name = wanted or _free_name(model, taken)
    folder = paths.servers_dir() / name
    if former := read(folder):  # what a failed or killed server of that name left
        _remove(former)
    shutil.rmtree(folder, ignore_errors=True)
    return name, paths.private_dir(folder)


def _free_name(model: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9._-]+", "-", model.rsplit("/", 1)[-1].lower()).strip("-._")[:50] or "server"
    numbered = (f"{base}-{number}" for number in range(2, 10_000))
    return base if base not in taken else next(name for name in numbered if name not in taken)
