"""Taking models out of the Hugging Face cache, as the hub's own client does it.

Links and references go first and blobs last; blobs that another revision needs stay, and so does what other
repositories share.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from llmserve.errors import LlmserveError, UsageError
from llmserve.models import variants
from llmserve.models.house import Entry, Snapshot


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What will go of one repository: all of it (``whole``), or snapshots, single files with their links, blobs.

    ``what`` names it for people; ``freed_bytes`` is what the disk gets back.
    """

    entry: Entry
    what: str
    freed_bytes: int
    whole: bool = False
    snapshots: tuple[Snapshot, ...] = ()
    files: tuple[Path, ...] = ()
    blobs: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        if self.whole:
            return (self.entry.path,)
        return (*self.files, *(snapshot.path for snapshot in self.snapshots), *self.blobs)


def everything(entry: Entry) -> Removal:
    return Removal(entry=entry, what=entry.repo, freed_bytes=entry.size_bytes, whole=True)


def revision(entry: Entry, wanted: str) -> Removal:
    """One revision: a branch, a tag, or the beginning of a commit. The last one takes the repository with it.

    Raises:
        UsageError: it is not in the cache, or several commits begin like this.
    """
    found = [one for one in entry.snapshots if wanted in one.refs or one.commit == wanted]
    found = found or [one for one in entry.snapshots if len(wanted) >= 4 and one.commit.startswith(wanted)]
    if len(found) != 1:
        known = ", ".join(" ".join((one.commit[:12], *one.refs)) for one in entry.snapshots)
        raise UsageError(
            f"{entry.repo} has {'several revisions' if found else 'no revision'} {wanted!r} in the cache.",
            hint=f"It has: {known}." if known else f"Remove it whole: `llmserve rm {entry.repo}`.",
            code="unknown_revision",
        )
    gone = found[0]
    if len(entry.snapshots) == 1:
        return dataclasses.replace(everything(entry), what=f"{entry.repo} ({gone.commit[:12]})")
    needed = {blob for one in entry.snapshots if one is not gone for blob in one.blobs}
    blobs = {blob: size for blob, size in gone.blobs.items() if blob not in needed}
    what = f"{entry.repo} at {gone.refs[0] if gone.refs else gone.commit[:12]}"
    own = tuple(blob for blob in blobs if _removable(blob, entry) and gone.path not in blob.parents)
    return Removal(entry=entry, what=what, freed_bytes=sum(blobs.values()), snapshots=(gone,), blobs=own)


def selection(entry: Entry, wanted: str) -> Removal:
    """Some GGUF files of a repository: a name, a glob or a quantisation. All its models take the repository with them.

    Raises:
        UsageError: no file of the cache fits.
    """
    files = [file for snapshot in entry.snapshots for file in snapshot.files]
    gone = [file for file in files if file.name.lower().endswith(".gguf") and _fits(file.name, wanted)]
    if not gone:
        models = ", ".join(sorted({file.name for file in files if file.name.lower().endswith(".gguf")}))
        raise UsageError(
            f"{entry.repo} has no GGUF file {wanted!r} in the cache.",
            hint=f"It has {models}." if models else f"Remove it whole: `llmserve rm {entry.repo}`.",
            code="unknown_file",
        )
    rest = [file for file in files if file not in gone]
    if not any(file.name.lower().endswith(".gguf") for file in rest):
        return everything(entry)
    needed = {file.blob for file in rest}
    blobs = {file.blob: file.size_bytes or 0 for file in gone if file.blob not in needed}
    return Removal(
        entry=entry, what=f"{entry.repo}:{wanted}", freed_bytes=sum(blobs.values()),
        files=tuple(file.path for file in gone), blobs=tuple(blob for blob in blobs if _removable(blob, entry)),
    )  # fmt: skip


def unfinished(entry: Entry, *, before: float | None = None) -> Removal | None:
    """Partial files (that were last written ``before``, seconds since the epoch); None if there are none.

    A repository of which nothing else is here goes whole.
    """
    gone = [partial for partial in entry.partials if before is None or partial.modified < before]
    if not gone:
        return None
    if len(gone) == len(entry.partials) and not entry.blobs:
        return everything(entry)
    freed = sum(partial.size_bytes for partial in gone)
    what = f"{entry.repo} (unfinished files)"
    return Removal(entry=entry, what=what, freed_bytes=freed, blobs=tuple(partial.path for partial in gone))


def being_fetched(entry: Entry) -> bool:
    """Whether some process holds one of the locks that the hub's client, and llmserve, take for a file to fetch."""
    for path in (entry.path.parent / ".locks" / entry.path.name).glob("*.lock"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def carry_out(removal: Removal) -> None:
    """Remove it.

    Raises:
        LlmserveError: ``cache_not_writable``: something is still there.
    """
    from huggingface_hub import DeleteCacheStrategy

    entry = removal.entry
    strategy = {
        "expected_freed_size": removal.freed_bytes,
        "repos": frozenset([entry.path] if removal.whole else []),
        "snapshots": frozenset(snapshot.path for snapshot in removal.snapshots),
        "refs": frozenset(entry.path / "refs" / ref for snapshot in removal.snapshots for ref in snapshot.refs),
        "blobs": frozenset(removal.blobs),
        "cache_dir": entry.path.parent,  # with it the client also sweeps its store of shared blobs
    }
    known = {field.name for field in dataclasses.fields(DeleteCacheStrategy)}
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    reason = ""
    try:
        _unlink(removal.files)
        DeleteCacheStrategy(**{name: value for name, value in strategy.items() if name in known}).execute()  # type: ignore[arg-type]
        _unlink(entry.path / "trees" / f"{snapshot.commit}.json" for snapshot in removal.snapshots)
    except OSError as error:
        reason = f": {error.strerror or error}"
    if any(os.path.lexists(path) for path in removal.paths):
        raise LlmserveError(
            f"{removal.what} could not be removed: the cache {entry.path.parent} cannot be written{reason}.",
            hint="Check the permissions of the folder, or run the command as the user who owns it.",
            code="cache_not_writable",
        )


def _removable(blob: Path, entry: Entry) -> bool:
    """A link in a snapshot may lead anywhere; what is removed is in the repository's folder."""
    return entry.path in blob.parents


def _fits(name: str, wanted: str) -> bool:
    return variants.fits(name, wanted) or fnmatch(name.lower(), wanted.lower())


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
