"""The transfer: brings the files of a plan to where they belong, and loses nothing that has come."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from llmserve.models.hub import digest, download_errors, places, safe_names, snapshot
from llmserve.models.hub.patience import Patience
from llmserve.models.hub.places import Place, Placing
from llmserve.models.hub.plan import FetchPlan, Wanted
from llmserve.models.hub.progress import Event, Listener, Meter

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub

__all__ = ["Event", "download"]

_LOOK = 0.1  # seconds between two looks at the threads


def download(hub: Hub, plan: FetchPlan, on: Listener | None = None, *, patience: Patience | None = None) -> Path:
    """Fetch what is missing of ``plan``; returns ``plan.folder``, where all of it then is. What is here needs no hub.

    Other processes that fetch the same files, the hub's own client among them, are waited for. ``on`` is called by
    the caller's thread, at most five times a second.

    Raises:
        LlmserveError: one sentence; what has been fetched is kept, and the next call goes on from there.
        KeyboardInterrupt: the same holds.
    """
    safe_names.check(plan)
    try:
        meter, placing = Meter(plan.total_bytes, on), places.placing(plan)
        missing, twins = _missing(plan, placing, meter)
        if missing:
            with hub.errors(plan.repo, plan.revision):
                _fetch(hub, plan, missing, meter, patience or Patience.from_environment())
        for file in twins:
            _is_here(placing(file), file, plan.commit, meter)
        snapshot.complete(plan)
        if missing:
            meter.tell(now=True)
    except OSError as error:
        raise download_errors.on_disk(error, places.root(plan)) from error
    return plan.folder


def _missing(plan: FetchPlan, placing: Placing, meter: Meter) -> tuple[list[Wanted], list[Wanted]]:
    """Files that are not here, and files whose content is that of one of them. Those that are here get their names."""
    missing: dict[str, Wanted] = {}
    twins: list[Wanted] = []
    checked: set[Path] = set()
    for file in plan.files:
        place = placing(file)
        folder = (place.link or place.content).parent
        if folder not in checked:
            safe_names.check_folders(places.root(plan), [folder])
            checked.add(folder)
        if not _is_here(place, file, plan.commit, meter):
            key = file.name if plan.plain or not file.etag else file.etag
            if missing.setdefault(key, file) is not file:
                twins.append(file)
    return list(missing.values()), twins


def _is_here(place: Place, file: Wanted, commit: str, meter: Meter) -> bool:
    """Whether a file is here; it is counted, and shown under its name if it is not yet."""
    if not place.is_shown(file.size_bytes):
        if place.link is None or not file.etag or not place.is_whole(file.size_bytes):
            return False
        place.link.parent.mkdir(parents=True, exist_ok=True)
        place.adopt(commit, file.etag)
    elif place.noted is not None and not _is_right(place, file, commit, meter):
        return False
    meter.found(file.name, file.size_bytes)
    return True


def _is_right(place: Place, file: Wanted, commit: str, meter: Meter) -> bool:
    """Whether a file of the right size in a plain folder is the right one: as noted, or else by its hash."""
    noted = place.note()
    if noted is not None or file.etag is None:
        return noted == file.etag
    found = digest.of_file(file, place.content, meter.tell)
    if found != digest.expected(file):
        return False
    with contextlib.suppress(OSError):  # a note saves time, no more
        for folder in place.folders:
            folder.mkdir(parents=True, exist_ok=True)
        place.adopt(commit, file.etag)
    return True


def _fetch(hub: Hub, plan: FetchPlan, missing: list[Wanted], meter: Meter, patience: Patience) -> None:
    from llmserve.models.hub import xet
    from llmserve.models.hub.crew import Crew
    from llmserve.models.hub.job import Job, Work

    warnings.filterwarnings("ignore", message="flock not supported", module="filelock")
    work = Work(hub, plan, places.placing(plan), patience, meter, xet=xet.available())
    jobs = [Job(work, file) for file in missing]
    crew = Crew(work, sorted(jobs, key=lambda job: not job.small))
    crew.start()
    try:
        while not crew.wait(_LOOK):
            meter.tell()
    except BaseException:
        crew.leave()
        raise
    if crew.error is not None:
        raise crew.error
