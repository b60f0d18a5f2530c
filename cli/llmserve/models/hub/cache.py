"""The Hugging Face cache on this disk, read without importing the hub's client: a cached model starts faster.

Layout: ``models--ORG--NAME/{refs/BRANCH, snapshots/COMMIT/FILE, blobs/HASH, trees/COMMIT.json}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from llmserve.models.hub import settings as hub_settings

_COMMIT = re.compile(r"[0-9a-f]{40}")


def repository(repo: str) -> Path:
    return hub_settings.cache_folder() / f"models--{repo.replace('/', '--')}"


def commit(repo: str, revision: str | None = None) -> str | None:
    """The commit that ``revision`` (None: main) stood for when it was last fetched."""
    if revision and _COMMIT.fullmatch(revision):
        return revision
    try:
        text = (repository(repo) / "refs" / (revision or "main")).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, ValueError):
        return None
    return text if _COMMIT.fullmatch(text) else None


def snapshot(repo: str, revision: str | None = None) -> Path | None:
    """The folder with the files of a revision, complete or not; None if nothing of it is here."""
    found = commit(repo, revision)
    path = repository(repo) / "snapshots" / found if found else None
    return path if path and path.is_dir() else None


def listing(repo: str, revision: str | None = None) -> Mapping[str, int] | None:
    """Names and sizes of all files of a cached revision, if the client noted them when it fetched it."""
    found = commit(repo, revision)
    if found is None:
        return None
    try:
        content = json.loads((repository(repo) / "trees" / f"{found}.json").read_bytes())
        return {name: int(info.get("lfs_size") or info["size"]) for name, info in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def file(repo: str, found_commit: str, name: str, content_hash: str | None) -> Path | None:
    """A file of a commit, if it is here under its name, or its content is here from another commit."""
    path = repository(repo)
    places = [path / "snapshots" / found_commit / name]
    if content_hash:
        places.append(path / "blobs" / content_hash)
    return next((place for place in places if place.is_file()), None)
