"""Getting a model's weights onto this disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING

from llmserve.models import builtin
from llmserve.models.hub import cache as hub_cache
from llmserve.models.hub import settings as hub_settings
from llmserve.models.model import Model

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub
    from llmserve.models.hub.plan import FetchPlan, Wanted
    from llmserve.models.hub.progress import Listener

__all__ = ["bring", "check_room", "fetch", "hub_url", "in_place", "reachable"]


def fetch(model: Model, on: Listener | None = None, *, hub: Hub | None = None) -> Path:
    """What an engine is given to load: a folder, or the (first) .gguf file. Downloads what is missing.

    A model that is here completely (``Model.path``) needs no hub. ``on`` is told of the progress.

    Raises:
        DoesNotFitError: the disk has no room; asked before the first byte.
        LlmserveError: the hub is out of reach or refuses; see ``hub_errors.explain``.
    """
    if model.source.builtin:
        return builtin.build(model.format)
    if model.path:
        return Path(model.path)
    from llmserve.models.hub.api import Hub
    from llmserve.models.hub.planning import plan_of_model

    with closing(hub or Hub()) as asked:
        folder = bring(asked, plan_of_model(asked, model), on)
    return folder / model.files[0].name if model.format == "gguf" else folder


def bring(hub: Hub, plan: FetchPlan, on: Listener | None = None) -> Path:
    """Carry out a plan: copy what the cache has, download the rest, and remember how fast that was.

    Where all is in its place the hub is not asked for anything.

    Raises:
        DoesNotFitError: see ``check_room``.
        LlmserveError: see ``download``.
    """
    if in_place(plan):
        return plan.folder
    from llmserve.models.hub import rates
    from llmserve.models.hub.copying import copied
    from llmserve.models.hub.download import download

    check_room(plan)
    rest = copied(plan, _copies(plan, on) if on else None)
    if in_place(rest):
        return rest.folder
    begun = time.monotonic()
    folder = download(hub, rest, on)
    rates.note(hub.endpoint, rest.missing_bytes, time.monotonic() - begun)
    return folder


def in_place(plan: FetchPlan) -> bool:
    """Whether nothing is to be written, not even a link or the commit that a branch stands for."""
    if plan.plain or plan.room_bytes:
        return not plan.room_bytes
    linked = all((plan.folder / file.name).is_file() for file in plan.files)
    return linked and hub_cache.commit(plan.repo, plan.revision) == plan.commit


def check_room(plan: FetchPlan) -> None:
    """Raises DoesNotFitError if the disk has too little room for what will be written."""
    if plan.short_bytes:
        from llmserve.models.hub import errors as hub_errors
        from llmserve.models.hub.plan import SPARE

        folder = plan.folder if plan.plain else hub_settings.cache_folder()
        error = hub_errors.disk_full(str(folder), needed=plan.room_bytes + SPARE, free=plan.free_bytes or 0)
        if plan.plain:
            error.hint = "Free some space there, or name a folder on a larger disk with --to."
        raise error


def hub_url() -> str:
    """The hub that is in use, for messages."""
    return hub_settings.shown(hub_settings.endpoint())


def reachable(timeout: float = 2.0) -> bool:
    """Whether the hub answers at all, within ``timeout`` seconds. Any answer counts, an error page too."""
    if hub_settings.offline():
        return False
    answers: Queue[bool] = Queue()
    threading.Thread(target=lambda: answers.put(_answers(hub_settings.endpoint(), timeout)), daemon=True).start()
    try:
        return answers.get(timeout=timeout)
    except Empty:  # name resolution knows no time limit of its own
        return False


def _answers(url: str, timeout: float) -> bool:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(url, method="HEAD"), timeout=timeout):  # noqa: S310 - the user's own HF_ENDPOINT
            return True
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _copies(plan: FetchPlan, on: Listener) -> Callable[[Wanted, int], None]:
    """Copies as a part of the whole: bytes that stand already are counted, as the download will count them."""
    from llmserve.models.hub.progress import Event

    def report(file: Wanted, done: int) -> None:
        files = ((file.name, done, file.size_bytes, "copying"),)
        on(Event(done_bytes=before[file.name] + done, total_bytes=total, rate=0.0, eta_seconds=None, files=files,
                 note=""))  # fmt: skip

    total, standing, before = plan.total_bytes, 0, {}
    for file in sorted(plan.files, key=lambda file: file.copy_from is not None):
        before[file.name] = standing
        standing += file.size_bytes - file.missing_bytes if not file.copy_from else file.size_bytes
    return report
