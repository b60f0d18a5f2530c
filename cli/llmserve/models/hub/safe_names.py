"""What a hostile hub may list, refused before anything is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from llmserve.models.hub import download_errors
from llmserve.models.hub.plan import FetchPlan, Wanted

LARGEST = 100 * 10**12
"""Bytes: no model has so many, and no sum of its files."""

_LONGEST = 255  # bytes of one part of a path, on nearly all file systems
_PART = re.compile(r"[\w-][\w.-]*", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_OWN = ".cache/huggingface"  # where a plain folder keeps locks and pieces


def check(plan: FetchPlan) -> None:
    """Whether all that ``plan`` names lies within its folders, and has a size that can be.

    Raises:
        LlmserveError: ``unsafe_name`` or ``absurd_size``.
    """
    for part in (*plan.repo.split("/"), plan.commit):
        if not _PART.fullmatch(part):
            raise download_errors.unsafe(part, "cannot be part of a repository")
    _check_name(plan.revision)
    for file in plan.files:
        _check_name(file.name)
        _check_values(file)
        if plan.plain and f"{_folded(file.name)}/".startswith(f"{_OWN}/"):
            raise download_errors.unsafe(file.name, "belongs to the notes of the download itself")
    if plan.total_bytes > LARGEST:
        raise download_errors.absurd_size(plan.repo, plan.total_bytes)
    _check_clashes(file.name for file in plan.files)


def check_folders(root: Path, folders: Iterable[Path]) -> None:
    """Whether ``folders``, which are below ``root``, are or will be folders there and not links to elsewhere.

    Raises:
        LlmserveError: ``unsafe_link``.
    """
    seen: set[Path] = set()
    for folder in folders:
        while folder not in seen and folder != root and root in folder.parents:
            if folder.is_symlink():
                raise download_errors.leads_outside(folder)
            seen.add(folder)
            folder = folder.parent


def _check_values(file: Wanted) -> None:
    if not 0 <= file.size_bytes <= LARGEST:
        raise download_errors.absurd_size(file.name, file.size_bytes)
    for content_hash in (file.etag, file.sha256, file.git_sha1):
        if content_hash is not None and not _HASH.fullmatch(content_hash):
            raise download_errors.unsafe(file.name, f"goes with a hash that is none ({content_hash[:80]!r})")


def _check_name(name: str) -> None:
    reason = _fault(name)
    if reason:
        raise download_errors.unsafe(name, reason)


def _fault(name: str) -> str | None:
    """Why a file may not have this name, as a clause."""
    try:
        parts = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:
        return "is not UTF-8"
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name):
        return "has control characters"
    if "\\" in name:
        return "has a backslash"
    if b".." in parts or name.startswith("/") or any(PureWindowsPath(part).drive for part in name.split("/")):
        return "leads out of its folder"
    if b"" in parts or b"." in parts:
        return "has an empty part"
    if any(len(part) > _LONGEST for part in parts) or len(parts) > 64:
        return "is too long"
    return None


def _check_clashes(names: Iterable[str]) -> None:
    """A name must not also be a folder of another one, even where upper and lower case are the same."""
    files: set[str] = set()
    exact: set[str] = set()
    folders: dict[str, str] = {}
    for name in names:
        if name in exact:
            raise download_errors.unsafe(name, "stands twice in the list")
        exact.add(name)
        files.add(_folded(name))
        above = name
        while "/" in above:
            above = above.rpartition("/")[0]
            folders.setdefault(_folded(above), name)
    for clash in files & folders.keys():
        raise download_errors.unsafe(folders[clash], "has another file as its folder")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
