"""What a fetch will bring, and why, before its first byte: the records. ``planning`` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPARE = 64 * 1024**2
"""Bytes left free on the disk: locks, listings and whatever else writes there meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One file of a fetch.

    ``etag`` is the name of its content in the cache (``blobs/ETAG``; None if the hub does not say). The content's hash
    is ``sha256`` for large files and ``git_sha1`` (that of a git blob) for small ones. ``why`` is one clause:
    ``weights``, ``tokenizer``. ``cached``: all of it is where it belongs, as far as its size tells; in the cache the
    link to it may be lacking. ``partial_bytes`` of a file that is not cached are here from an earlier fetch.
    ``copy_from`` is set where the file is in the cache and is wanted in a plain folder: it need not be fetched.
    """

    name: str
    size_bytes: int
    etag: str | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    why: str = ""
    cached: bool = False
    partial_bytes: int = 0
    copy_from: Path | None = None

    @property
    def missing_bytes(self) -> int:
        return 0 if self.cached or self.copy_from else max(0, self.size_bytes - self.partial_bytes)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file of the repository that is left where it is, and why. ``etag`` as in ``Wanted``."""

    name: str
    size_bytes: int
    why: str
    etag: str | None = None


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """All that a fetch of one commit needs to know.

    ``revision`` is the reference as it was asked for (``main``). ``folder`` is the snapshot folder in the cache, or,
    where ``plain``, a folder of the user's that gets the files themselves: no links, no blobs. ``free_bytes`` is the
    room where it will land, as far as it is known.
    """

    repo: str
    commit: str
    revision: str
    folder: Path
    files: tuple[Wanted, ...]
    skipped: tuple[Skipped, ...] = ()
    free_bytes: int | None = None
    plain: bool = False

    @property
    def total_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """What is still to come: neither cached nor left by an earlier fetch."""
        return sum(file.missing_bytes for file in self.files)

    @property
    def cached_bytes(self) -> int:
        return self.total_bytes - self.missing_bytes

    @property
    def room_bytes(self) -> int:
        """What the disk has to take: what is missing, and copies of what is in the cache."""
        return self.missing_bytes + sum(file.size_bytes for file in self.files if file.copy_from)

    @property
    def short_bytes(self) -> int:
        """Room that is lacking on the disk, with a spare; 0 where there is enough, or nothing to write."""
        if self.free_bytes is None or not self.room_bytes:
            return 0
        return max(0, self.room_bytes + SPARE - self.free_bytes)
