"""What a fetch will bring, found out: a hub is asked for its list of files, and the disk for what is here."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llmserve.errors import LlmserveError
from llmserve.models import variants
from llmserve.models.files import Folder
from llmserve.models.hub import cache as hub_cache
from llmserve.models.hub import selection
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.plan import FetchPlan, Skipped, Wanted
from llmserve.models.hub.selection import UNFILTERED, Filter, Selection
from llmserve.models.model import Model, Source

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub, Listing


def fetch_plan(hub: Hub, source: Source, wish: Filter = UNFILTERED, to: Path | None = None) -> FetchPlan:
    """What a fetch of ``source`` would bring into the cache, or into the folder ``to``. Reads no weights.

    Raises:
        UsageError, LlmserveError: see ``selection.select`` and ``Hub.listing``; and access that is not granted.
    """
    from llmserve.models.hub.api import HubFiles

    listing = hub.listing(source.repo or "", source.revision)
    chosen = selection.select(HubFiles(hub, listing), source, wish)
    plan = _from_listing(listing, source.revision, chosen, to)
    if plan.missing_bytes:
        hub.check_access(listing)
    return plan


def cached_plan(source: Source, wish: Filter = UNFILTERED, to: Path | None = None) -> FetchPlan | None:
    """The same of what is in the cache alone, asking no hub; None if anything is lacking, or may be."""
    repo = source.repo or ""
    folder, listed = hub_cache.snapshot(repo, source.revision), hub_cache.listing(repo, source.revision)
    if folder is None or not (wish.include or variants.complete(source, folder, listed)):
        return None
    here = Folder(folder, listed)
    try:
        chosen = selection.select(here, source, wish)
    except (LlmserveError, OSError):
        return None
    place = _Place(repo, folder.name, to)
    plan = _plan(place, source.revision, chosen, here.sizes, functools.partial(_blob_name, folder))
    return plan if not plan.missing_bytes else None


def current_plan(source: Source, wish: Filter = UNFILTERED, to: Path | None = None) -> FetchPlan | None:
    """``cached_plan``, if that is what the hub has now as far as one small question tells; else None.

    A commit never changes: one that is in the cache is not asked for, nor is anything where that is forbidden.
    """
    found = cached_plan(source, wish, to)
    if found is None or hub_settings.offline() or found.revision == found.commit:
        return found
    endpoint = hub_settings.endpoint()
    if not hub_settings.is_address(endpoint):
        return None
    from llmserve.models.hub import freshness

    return found if freshness.unchanged(endpoint, found) else None


def plan_or_cached(
    hub: Hub, source: Source, wish: Filter = UNFILTERED, to: Path | None = None
) -> tuple[FetchPlan, LlmserveError | None]:
    """The plan by the hub; where that cannot be had and the cache has all, by the cache, and why."""
    found = cached_plan(source, wish, to)
    hub.patient = hub.patient and found is None
    try:
        return fetch_plan(hub, source, wish, to), None
    except LlmserveError as error:
        if found:
            return found, error
        raise


def plan_of_model(hub: Hub, model: Model) -> FetchPlan:
    """What is to be fetched of a model that has been described, from the commit that was described."""
    listing = hub.listing(model.source.repo or "", model.revision)
    wanted = {file.name: selection.kind(file.name) for file in model.files}
    others = sorted(set(listing.files) - set(wanted))
    skipped = {name: selection.why_not(name, model.source, UNFILTERED) for name in others}
    return _from_listing(listing, model.source.revision, Selection(wanted, skipped), None)


def free_bytes(folder: Path) -> int | None:
    """Free bytes where ``folder`` is or, if it does not exist yet, will be."""
    for path in (folder, *folder.parents):
        try:
            return shutil.disk_usage(path).free
        except OSError:
            continue
    return None


def _from_listing(listing: Listing, revision: str | None, chosen: Selection, to: Path | None) -> FetchPlan:
    sizes = {name: file.size for name, file in listing.files.items()}
    place = _Place(listing.repo, listing.commit, to)
    return _plan(place, revision, chosen, sizes, lambda name: listing.files[name].content_hash)


_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def _blob_name(folder: Path, name: str) -> str | None:
    """The hash of a cached file, which its link tells."""
    try:
        target = os.readlink(folder / name).rpartition("/")[2]  # noqa: PTH115 - there are thousands of them
    except OSError:  # a copy, where the file system knows no links
        return None
    return target if _HASH.fullmatch(target) else None


@dataclass(frozen=True)
class _Place:
    """Where files will be: in the cache, or in the folder ``to``."""

    repo: str
    commit: str
    to: Path | None

    @property
    def folder(self) -> Path:
        return self.to or hub_cache.repository(self.repo) / "snapshots" / self.commit

    def look(self, file: Wanted) -> Wanted:
        """``file`` with what is here of it already."""
        cached = self._cached(file)
        if self.to is None:
            return replace(file, cached=True) if cached else replace(file, partial_bytes=self._partial(file))
        if _whole(self.to / file.name, file.size_bytes):
            return replace(file, cached=True)
        return replace(file, copy_from=cached) if cached else replace(file, partial_bytes=self._partial(file))

    def _partial(self, file: Wanted) -> int:
        from llmserve.models.hub import partial, places

        if file.etag is None:
            return 0
        if self.to is None:
            place = places.in_cache(self.repo, self.commit, file.name, file.etag)
        else:
            place = places.in_folder(self.to, file.name, file.etag)
        return partial.fetched(place, file.size_bytes)

    def _cached(self, file: Wanted) -> Path | None:
        repository = hub_cache.repository(self.repo)
        places = [repository / "snapshots" / self.commit / file.name]
        if file.etag:
            places.append(repository / "blobs" / file.etag)
        return next((place for place in places if _whole(place, file.size_bytes)), None)


def _plan(
    place: _Place,
    revision: str | None,
    chosen: Selection,
    sizes: Mapping[str, int],
    hash_of: Callable[[str], str | None],
) -> FetchPlan:
    wanted = (_wanted(name, why, sizes[name], hash_of(name)) for name, why in chosen.wanted.items())
    skipped = (
        Skipped(name=name, size_bytes=sizes[name], why=why, etag=hash_of(name)) for name, why in chosen.skipped.items()
    )
    return FetchPlan(
        repo=place.repo,
        commit=place.commit,
        revision=revision or "main",
        folder=place.folder,
        files=tuple(place.look(file) for file in wanted),
        skipped=tuple(skipped),
        free_bytes=free_bytes(place.folder),
        plain=place.to is not None,
    )


def _wanted(name: str, why: str, size: int, etag: str | None) -> Wanted:
    large = etag is not None and len(etag) == 64
    sha256, git_sha1 = (etag, None) if large else (None, etag)
    return Wanted(name=name, size_bytes=size, etag=etag, sha256=sha256, git_sha1=git_sha1, why=why)


def _whole(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False
