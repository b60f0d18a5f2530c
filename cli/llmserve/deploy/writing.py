"""Puts rendered files into a folder: what is the same stays, what differs is shown, and secrets are never replaced."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llmserve import paths
from llmserve.deploy.deployment import File, Files
from llmserve.errors import LlmserveError

__all__ = ["Change", "changes", "write"]


@dataclass(frozen=True)
class Change:
    """What writing one file would do. ``diff`` is a unified diff of what differs, for files that hold no secret."""

    name: str
    kind: Literal["new", "same", "differs", "kept"]
    diff: str = ""


def changes(files: Files, folder: Path) -> list[Change]:
    """What :func:`write` would do to each file.

    Raises:
        LlmserveError: the folder or a file in it cannot be read.
    """
    try:
        return [_change(name, file, folder / name) for name, file in files.items()]
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(folder, error) from error


def write(files: Files, found: list[Change], folder: Path) -> None:
    """Write what is new or differs.

    Raises:
        LlmserveError: the folder cannot be written.
    """
    wanted = {change.name for change in found if change.kind in ("new", "differs")}
    try:
        for name, file in files.items():
            if name in wanted:
                mode = 0o600 if file.secret else 0o755 if file.executable else 0o644
                paths.write_atomic(folder / name, file.text, mode=mode)
    except OSError as error:
        raise _refused(folder, error) from error


def _change(name: str, file: File, place: Path) -> Change:
    if not place.exists():
        return Change(name, "new")
    if file.secret:
        return Change(name, "kept")
    old = place.read_text(encoding="utf-8")
    if old == file.text:
        return Change(name, "same")
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), file.text.splitlines(keepends=True), f"{name} (as it is)", f"{name} (new)"
    )
    return Change(name, "differs", "".join(lines))


def _refused(folder: Path, error: OSError | UnicodeDecodeError) -> LlmserveError:
    why = getattr(error, "strerror", None) or "a file in it is not text"
    place = getattr(error, "filename", None) or folder
    return LlmserveError(f"The export cannot be written to {place}: {why}.", hint="Choose a folder with --out DIR.")
