"""What a cache notes about a commit besides its files, as the hub's own client notes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

from llmserve.models.hub import places
from llmserve.models.hub.plan import FetchPlan, Skipped, Wanted

_TREE_FORMAT = 1
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder can be fetched again: backups may leave it out.\n"
    "#\thttps://bford.info/cachedir/\n"
)


def complete(plan: FetchPlan) -> None:
    """Note the commit of a plan whose files are all here. What stands already is not written again.

    Raises:
        OSError: the disk.
    """
    if plan.plain:
        return
    tag = places.root(plan).parent / "CACHEDIR.TAG"
    if not tag.exists():
        with contextlib.suppress(OSError):
            tag.write_text(_TAG, encoding="utf-8")
    _write_tree(plan)
    _write_ref(plan)


def _write_ref(plan: FetchPlan) -> None:
    """Which commit the revision stands for: last of all, so that it never points to what is not there."""
    path = places.root(plan) / "refs" / plan.revision
    if plan.revision == plan.commit:
        return
    with contextlib.suppress(OSError, ValueError):
        if path.read_text(encoding="utf-8") == plan.commit:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    places.write(path, plan.commit)


def _write_tree(plan: FetchPlan) -> None:
    """All files of the commit, so that a snapshot can be known to be complete without the hub."""
    path = places.root(plan) / "trees" / f"{plan.commit}.json"
    files: tuple[Wanted | Skipped, ...] = (*plan.files, *plan.skipped)
    entries = {file.name: _entry(file.etag, file.size_bytes) for file in files}
    if path.exists() or not all(entries.values()):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format_version": _TREE_FORMAT, "files": dict(sorted(entries.items()))}
    with contextlib.suppress(OSError):
        places.write(path, json.dumps(content, indent=1))


def _entry(etag: str | None, size: int) -> dict[str, Any] | None:
    """A file as the hub's list of files has it; None if too little is known of it."""
    if etag is None or len(etag) not in (40, 64):
        return None
    if len(etag) == 40:
        return {"size": size, "blob_id": etag}
    return {"size": size, "blob_id": _pointer(etag, size), "lfs_sha256": etag, "lfs_size": size}


def _pointer(sha256: str, size: int) -> str:
    """Git's hash of the text that stands in the repository for a large file."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()
