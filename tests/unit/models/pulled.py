"""Made-up repositories, plans of fetching them, and what a download of one leaves behind."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from llmserve.models.hub import partial, places
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.api import Hub
from llmserve.models.hub.download import download
from llmserve.models.hub.patience import Patience
from llmserve.models.hub.plan import FetchPlan, Skipped, Wanted
from llmserve.models.hub.progress import Event
from tests.fakes.hub import FakeHub, Repo

REPO = "org/made-up"
CHUNK = 64 * 1024
HASTY = Patience(unit=0.01, most=0.05, stall=60, chunk=CHUNK)
"""Pauses are short, and silence is borne: a busy machine is silent too. Tests of silence bear less."""
BRUSQUE = replace(HASTY, stall=0.3, tries=100)
SIZES = {"model-1.safetensors": 700_001, "model-2.safetensors": 20 * CHUNK, "config.json": 300, "sub/empty.txt": 0}


def content(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


def made_up(sizes: Mapping[str, int] = SIZES) -> Repo:
    return Repo({name: content(name, size) for name, size in sizes.items()})


@contextmanager
def made_up_hub(repo: Repo | None = None) -> Iterator[FakeHub]:
    with FakeHub({REPO: repo or made_up()}, tokens={"reader"}) as hub:
        yield hub


def plan_of(hub: FakeHub, to: Path | None = None, *, only: tuple[str, ...] = ()) -> FetchPlan:
    """A plan for all files of the repository, or for ``only`` some."""
    repo = hub.repos[REPO]
    folder = hub_settings.cache_folder() / "models--org--made-up" / "snapshots" / repo.commit
    files, skipped = [], []
    for name, about in repo.about.items():
        lfs = about.get("lfs", {}).get("oid")
        file = Wanted(name=name, size_bytes=about["size"], etag=lfs or about["oid"], sha256=lfs,
                      git_sha1=None if lfs else about["oid"])  # fmt: skip
        if not only or name in only:
            files.append(file)
        else:
            skipped.append(Skipped(name=name, size_bytes=file.size_bytes, why="", etag=file.etag))
    return FetchPlan(
        repo=REPO, commit=repo.commit, revision="main", folder=to or folder, files=tuple(files),
        skipped=tuple(skipped), plain=to is not None,
    )  # fmt: skip


@dataclass
class Pull:
    """One download and its events."""

    hub: FakeHub
    patience: Patience = HASTY
    events: list[Event] = field(default_factory=list)

    def __call__(self, plan: FetchPlan | None = None) -> Path:
        return download(Hub(self.hub.url), plan or plan_of(self.hub), self.events.append, patience=self.patience)

    @property
    def notes(self) -> str:
        return " | ".join(dict.fromkeys(event.note for event in self.events if event.note))


def is_complete(hub: FakeHub, folder: Path, names: tuple[str, ...] = ()) -> bool:
    """Whether the files of the repository are in ``folder``, byte by byte, and nothing unfinished is left beside."""
    files = {name: data for name, data in hub.repos[REPO].files.items() if not names or name in names}
    same = all((folder / name).read_bytes() == data[:] for name, data in files.items())
    return same and not unfinished(folder.parent.parent if folder.name == hub.repos[REPO].commit else folder)


def present(hub: FakeHub) -> int:
    """Bytes of the files that are in the cache: complete, or noted of one that is not."""
    plan = plan_of(hub)
    return sum(_present(places.in_cache(REPO, plan.commit, file.name, str(file.etag)), file) for file in plan.files)


def _present(place: places.Place, file: Wanted) -> int:
    return file.size_bytes if place.is_whole(file.size_bytes) else partial.fetched(place, file.size_bytes, CHUNK)


def await_end_of_threads() -> None:
    """A thread of a download that was interrupted may end a moment later."""
    for thread in threading.enumerate():
        if thread.name == "fetch":
            thread.join(30)
            assert not thread.is_alive()


def unfinished(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*.incomplete"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
