"""Conversations on disk: one file each, written whole after every change, and open in one terminal at a time."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.chat.session import Session
from llmserve.chat.turns import Turn, text_of
from llmserve.errors import LlmserveError, UsageError

__all__ = ["Saved", "Saver", "find", "folder", "newest", "read", "saved"]

VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A conversation as it stands on disk; ``changed_at`` in seconds since the epoch."""

    name: str
    model: str
    base_url: str
    changed_at: float
    system: str | None
    sampling: dict[str, Any]
    turns: list[Turn]
    pending: dict[str, Any] | None

    @property
    def title(self) -> str:
        """The first line that was asked."""
        first = self.turns[0].question if self.turns else self.pending or {}
        return next(iter(text_of(first).strip().splitlines()), "")

    def into(self, session: Session) -> None:
        """Go on with it in ``session``, whose own system prompt and settings win where it has any."""
        session.turns, session.pending = list(self.turns), self.pending
        session.system = session.system or self.system
        session.sampling = self.sampling | session.sampling


def folder() -> Path:
    return paths.state_dir() / "chat"


def saved() -> list[Saved]:
    """All that can be read, the one that was changed last first."""
    found = (_readable(path) for path in folder().glob("*.json"))
    return sorted((each for each in found if each), key=lambda each: -each.changed_at)


def newest() -> Saved:
    """Raises UsageError where nothing was saved."""
    for each in saved():
        return each
    raise UsageError("There is no earlier conversation.", hint="Begin one: llmserve chat", code="no_session")


def find(name: str) -> Saved | None:
    """The one of that name, or None.

    Raises:
        UsageError: nothing can have that name.
        LlmserveError: its file is damaged.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a conversation.", hint="Letters, digits, dots and dashes make one.")
    path = folder() / f"{name}.json"
    return read(path) if path.exists() else None


def read(path: Path) -> Saved:
    """The conversation in a file.

    Raises:
        LlmserveError: there is none that this version understands.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise ValueError(f"it is of version {data['version']}")
        return Saved(
            name=path.stem,
            model=str(data.get("model") or ""),
            base_url=str(data.get("base_url") or ""),
            changed_at=float(data.get("changed_at") or 0),
            system=data.get("system"),
            sampling=dict(data.get("sampling") or {}),
            turns=[Turn.from_json(turn) for turn in data["turns"]],
            pending=data.get("pending"),
        )
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", hint="`llmserve chat sessions` lists them."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LlmserveError(
            f"{path} holds no conversation that this version can read.", hint="`llmserve chat sessions` lists them.",
            code="broken_session",
        ) from error  # fmt: skip


def _readable(path: Path) -> Saved | None:
    with suppress(LlmserveError):
        return read(path)
    return None


def dump(session: Session, base_url: str) -> str:
    """The text of a session's file. No key and no header is in it."""
    data = {
        "version": VERSION,
        "changed_at": time.time(),
        "base_url": base_url,
        "model": session.model,
        "system": session.system,
        "sampling": session.sampling,
        "turns": [turn.as_json() for turn in session.turns],
        "pending": session.pending,
    }
    return json.dumps(data, ensure_ascii=True, indent=1)


class Saver:
    """Keeps one conversation on disk. Until something was said there is no file."""

    def __init__(self, base_url: str, name: str | None = None) -> None:
        self.base_url = base_url
        self.name = name or ""
        self._lock: int | None = None
        self._written = False
        if name:
            self._hold(name)

    @property
    def path(self) -> Path:
        return folder() / f"{self.name}.json"

    def save(self, session: Session) -> None:
        if not (session.turns or session.pending or self._written):
            return
        if not self.name:
            self.name = next(name for name in _names() if self._free(name))
        paths.private_dir(folder())
        paths.write_atomic(self.path, dump(session, self.base_url))
        self._written = True

    def renew(self) -> None:
        """Leave the file as it is: what is said from now on goes into a new one."""
        self.close()
        self.name, self._written = "", False

    def close(self) -> None:
        self._release(self.name)

    def _free(self, name: str) -> bool:
        path = folder() / f"{name}.json"
        if path.exists():
            return False
        try:
            self._hold(name)
        except UsageError:
            return False
        if not path.exists():
            return True
        self._release(name)  # it was written, and left, between the two looks
        return False

    def _hold(self, name: str) -> None:
        paths.private_dir(folder())
        lock = os.open(folder() / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise UsageError(
                f"The conversation {name} is open in another terminal.", hint="Leave it there, or begin a new one.",
                code="session_in_use",
            ) from error  # fmt: skip
        if os.fstat(lock).st_nlink == 0:  # its owner left between the two calls
            os.close(lock)
            self._hold(name)
        else:
            self._lock = lock

    def _release(self, name: str) -> None:
        if self._lock is not None:
            (folder() / f".{name}.lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


def _names() -> Iterator[str]:
    now = time.strftime("%Y-%m-%d-%H%M%S")
    yield now
    for number in range(2, 1000):
        yield f"{now}-{number}"
