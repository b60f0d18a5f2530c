"""A Hugging Face cache made by hand: snapshots of links, blobs named by their hashes, references and listings."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

COMMIT = "a" * 40


def blob_name(name: str, content: bytes) -> str:
    """How the hub's client names a file's content: by its SHA-256 if it is large, else by git's hash."""
    if name.endswith((".safetensors", ".gguf", ".bin")):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def put(
    cache: Path,
    repo: str,
    files: Mapping[str, bytes],
    *,
    commit: str = COMMIT,
    ref: str | None = "main",
    days: float = 0,
    tree: bool = False,
) -> Path:
    """Put a revision into ``cache`` as if it had been fetched, and last read, ``days`` ago; returns its snapshot."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    for name, content in files.items():
        blob, link = folder / "blobs" / blob_name(name, content), folder / "snapshots" / commit / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to(os.path.relpath(blob, link.parent))
        age(blob, days)
    if ref:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    if tree:
        (folder / "trees").mkdir(exist_ok=True)
        (folder / "trees" / f"{commit}.json").write_text(json.dumps({"format_version": 1, "files": _tree(files)}))
    return folder / "snapshots" / commit


def age(path: Path, days: float) -> None:
    """Make ``path`` look as if it had been written and last read ``days`` ago."""
    then = time.time() - days * 86400
    os.utime(path, (then, then))


def _tree(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    entries: dict[str, dict[str, object]] = {}
    for name, content in files.items():
        entries[name] = {
            "size": len(content),
            "blob_id": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        }
        if name.endswith((".safetensors", ".gguf", ".bin")):
            entries[name] |= {"lfs_sha256": blob_name(name, content), "lfs_size": len(content)}
    return entries
