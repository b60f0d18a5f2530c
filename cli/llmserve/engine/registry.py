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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from llmserve import paths
from llmserve.engine import leftovers
from llmserve.engine.server import RECORD_VERSION, Server
from llmserve.errors import LlmserveError, UsageError
from llmserve.records import from_json, to_json

RECORD = "server.json"
_HELD = "keeper.log"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def servers() -> list[Server]:
    """All servers on record, the newest first, with their state corrected by what is really alive."""
    found = [read(path.parent) for path in paths.servers_dir().glob(f"*/{RECORD}")]
    return sorted((server for server in found if server), key=lambda server: -server.started_at)


def running() -> list[Server]:
    """Servers that are starting, ready or stopping, the newest first."""
    return [server for server in servers() if server.running]


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


def remove(server: Server) -> None:
    """Forget a server that has ended, unless another one has taken its name meanwhile."""
    with locked():
        current = read(Path(server.directory))
        if current is None or current.keeper == server.keeper:
            _remove(server)


def hold(folder: Path) -> TextIO:
    """Lock ``folder`` for as long as the returned file is open: its keeper lives, whatever the record looks like."""
    file = (folder / _HELD).open("a")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _held(folder: Path) -> bool:
    try:
        with (folder / _HELD).open("a") as file:
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
    if server.running and not (server.keeper and server.keeper.alive):
        return replace(server, state="died")
    return server


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the registry while a name and a port are chosen, so that two ``up`` never take the same."""
    folder = paths.servers_dir()
    try:
        lock = (paths.private_dir(folder) / ".lock").open("w")
    except OSError as error:
        raise LlmserveError(
            f"The state folder {folder} cannot be written: {error.strerror}.",
            hint="Set XDG_STATE_HOME to one that can.",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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
    taken = {server.name for server in running()} | {
        path.name for path in paths.servers_dir().glob("*") if path.is_dir() and _held(path)
    }
    if wanted in taken:
        raise UsageError(
            f"A server called {wanted!r} is running.",
            hint=f"Stop it with `llmserve down {wanted}`, or use another name.",
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
