"""Where the files of a fetch go: the Hugging Face cache, or a folder as the hub's client fills it.

Cache: ``models--ORG--NAME/{blobs/ETAG, snapshots/COMMIT/NAME -> ../../blobs/ETAG, refs/REVISION}``, and locks in
``.locks/models--ORG--NAME/ETAG.lock``. Folder: the files under their names; what is noted about them, and what is
unfinished, in ``.cache/huggingface/download``. Names are those of huggingface_hub 2.4, but for unfinished files: its
older releases would take ours, which have gaps, for theirs.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llmserve.models.hub import cache as hub_cache
from llmserve.models.hub.plan import FetchPlan, Wanted

PIECES, JOURNAL = ".llmserve.incomplete", ".llmserve.journal.incomplete"
"""Ends of the names of unfinished files. The hub's tools show and prune whatever ends in ``.incomplete``."""

_OWN = ".cache/huggingface"


@dataclass(frozen=True)
class Place:
    """``content``: the file itself; ``link``: the name under which the snapshot shows it, if that is another;
    ``noted``: where its commit and hash are noted, in a plain folder."""

    content: Path
    unfinished: Path
    lock: Path
    link: Path | None = None
    noted: Path | None = None

    @property
    def pieces(self) -> Path:
        return self.unfinished.with_name(self.unfinished.name + PIECES)

    @property
    def journal(self) -> Path:
        return self.unfinished.with_name(self.unfinished.name + JOURNAL)

    @property
    def folders(self) -> set[Path]:
        files = (self.content, self.unfinished, self.lock, self.link, self.noted)
        return {file.parent for file in files if file is not None}

    def is_whole(self, size: int) -> bool:
        """Whether the content is here, as far as its size tells, though perhaps not under its name."""
        return _size(self.content) == size or self.is_shown(size)

    def is_shown(self, size: int) -> bool:
        """Whether a file of this size is here under its name, and not from elsewhere."""
        link = self.link or self.content
        return _size(link) == size and (self.link is None or _within(link, self.content))

    def note(self) -> str | None:
        """The hash that is noted of a file which has not been changed since, in a plain folder."""
        try:
            lines = (self.noted or Path()).read_text(encoding="utf-8").split("\n")
            unchanged = self.content.stat().st_mtime - 1 <= float(lines[2])
        except (OSError, ValueError, IndexError):
            return None
        return lines[1] if unchanged else None

    def finish(self, commit: str, etag: str, *, journal: bool) -> None:
        """Put the pieces, which are complete, where the content belongs. Killed in between, nothing is lost."""
        self.pieces.replace(self.content)
        if journal:
            self.journal.unlink(missing_ok=True)
        self.show(commit, etag)

    def adopt(self, commit: str, etag: str) -> None:
        """Show content that another process brought, and remove what it left beside it if it was killed."""
        self.tidy()
        self.show(commit, etag)

    def tidy(self) -> None:
        for rest in (self.journal, self.pieces):
            rest.unlink(missing_ok=True)

    def show(self, commit: str, etag: str) -> None:
        """Show content that is here under its name."""
        if self.link is not None:
            _link(self.link, self.content)
        if self.noted is not None:
            write(self.noted, f"{commit}\n{etag}\n{time.time()}\n")


Placing = Callable[[Wanted], Place]


def placing(plan: FetchPlan) -> Placing:
    """Where each file of a plan belongs; its ``etag`` has to be known."""
    if plan.plain:
        return lambda file: in_folder(plan.folder, file.name, file.etag or "")
    return partial(_in_cache, plan)


def in_cache(repo: str, commit: str, name: str, etag: str) -> Place:
    repository = hub_cache.repository(repo)
    return _at(repository, repository / "snapshots" / commit, name, etag)


def in_folder(folder: Path, name: str, etag: str) -> Place:
    noted = folder / _OWN / "download" / f"{name}.metadata"
    short = base64.urlsafe_b64encode(hashlib.sha1(noted.name.encode(), usedforsecurity=False).digest()).decode()
    return Place(
        folder / name, unfinished=noted.parent / f"{short}.{etag}", lock=noted.with_suffix(".lock"), noted=noted
    )


def root(plan: FetchPlan) -> Path:
    """The folder below which everything of a plan is written, its locks apart."""
    return plan.folder if plan.plain else plan.folder.parent.parent


def _in_cache(plan: FetchPlan, file: Wanted) -> Place:
    return _at(root(plan), plan.folder, file.name, file.etag or "")


def _at(repository: Path, snapshot: Path, name: str, etag: str) -> Place:
    blob = repository / "blobs" / etag
    lock = repository.parent / ".locks" / repository.name / f"{etag}.lock"
    return Place(blob, unfinished=blob, lock=lock, link=snapshot / name)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _within(link: Path, content: Path) -> bool:
    """Whether what ``link`` shows lies in the cache: as the link of ``content``, as another one, or as a plain file."""
    try:
        target = str(link.readlink())
    except OSError:
        return True
    if target == os.path.relpath(content, link.parent):
        return True
    cache = content.parent.parent.parent
    return cache.resolve() in link.resolve().parents


def _link(link: Path, content: Path) -> None:
    """A relative symbolic link, in place of whatever is there."""
    target = os.path.relpath(content, link.parent)
    try:
        link.symlink_to(target)
    except FileExistsError:
        temporary = link.with_name(f".{link.name[:200]}.{uuid.uuid4().hex[:8]}")
        temporary.symlink_to(target)
        temporary.replace(link)
    except (OSError, NotImplementedError):
        if not content.exists():
            raise
        content.replace(link)  # a file system without links, as the hub's client does it there


def write(path: Path, text: str) -> None:
    """Replace a file in one step; it gets the rights that new files get, since others may share a cache."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
