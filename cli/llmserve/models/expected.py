"""What cached files ought to be: by the hub, by what its client noted when it fetched them, or by the names of blobs.

The name of a blob in the cache is its hash: SHA-256 for large files, that of a git blob (SHA-1) for small ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llmserve.models.house import CachedFile, Snapshot

if TYPE_CHECKING:
    from llmserve.models.hub.api import Listing

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a file ought to be; None: nobody says."""

    size_bytes: int | None = None
    content_hash: str | None = None


def expected(file: CachedFile, *listings: Mapping[str, Expected]) -> Expected:
    """By the first listing that knows the file, else by the name of its blob."""
    name = _hash(file.blob.name) if file.blob != file.path else None
    for listing in listings:
        if file.name in listing:
            return replace(listing[file.name], content_hash=listing[file.name].content_hash or name)
    return Expected(content_hash=name)


def kept_listing(snapshot: Snapshot) -> Mapping[str, Expected]:
    """What the hub's client noted of a commit when it fetched it; empty if it did not, or wrote nonsense."""
    path = snapshot.path.parent.parent / "trees" / f"{snapshot.commit}.json"
    try:
        files = json.loads(path.read_bytes())["files"]
        return {
            name: Expected(
                size_bytes=int(info.get("lfs_size") or info["size"]),
                content_hash=_hash(info.get("lfs_sha256") or info.get("blob_id")),
            )
            for name, info in files.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def folder(path: Path) -> tuple[Snapshot, Mapping[str, Expected]] | None:
    """A plain folder that a hub's files were fetched into, and what was noted of them; None where nothing was noted.

    Notes: ``.cache/huggingface/download/NAME.metadata``, with the commit and the hash of the content.
    """
    notes = path / ".cache" / "huggingface" / "download"
    files: list[CachedFile] = []
    told: dict[str, Expected] = {}
    commits: set[str] = set()
    for note in sorted(notes.rglob("*.metadata")):
        commit, content_hash = _noted(note)
        file = path / note.relative_to(notes).with_suffix("")
        size = file.stat().st_size if file.is_file() else None
        name = file.relative_to(path).as_posix()
        files.append(CachedFile(name=name, path=file, blob=file, size_bytes=size))
        told[name] = Expected(content_hash=content_hash)
        commits.add(commit)
    commit = commits.pop() if len(commits) == 1 else ""
    return (Snapshot(commit=commit, path=path, refs=(), files=tuple(files)), told) if files else None


def _noted(note: Path) -> tuple[str, str | None]:
    try:
        commit, etag, *_ = note.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # UnicodeDecodeError is a ValueError
        return "", None
    return commit, _hash(etag)


def hub_listing(listing: Listing) -> Mapping[str, Expected]:
    """What the hub itself says of a commit."""
    return {
        name: Expected(size_bytes=file.size, content_hash=_hash(file.content_hash))
        for name, file in listing.files.items()
    }


def _hash(text: object) -> str | None:
    return text if isinstance(text, str) and _HASH.fullmatch(text) else None
