"""Getting a model's weights onto this disk."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING

from llmserve.models import builtin
from llmserve.models.hub import settings as hub_settings
from llmserve.models.model import Model, Progress

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub

__all__ = ["fetch", "hub_url", "reachable"]

_SPARE = 64 * 1024**2
"""Left free on the disk: locks, listings and whatever else writes there meanwhile."""


def fetch(model: Model, progress: Progress | None = None, *, hub: Hub | None = None) -> Path:
    """What an engine is given to load: a folder, or the (first) .gguf file. Downloads what is missing.

    Raises:
        DoesNotFitError: the disk has no room; asked before the first byte.
        LlmserveError: the hub is out of reach or refuses; see ``hub_errors.explain``.
    """
    if model.source.builtin:
        return builtin.build(model.format)
    if model.path:
        return Path(model.path)
    if model.missing_bytes:
        _check_disk(model.missing_bytes)
    from llmserve.models.hub.api import Hub
    from llmserve.models.hub.transfer import download

    folder = download(hub or Hub(), model, progress)
    return folder / model.files[0].name if model.format == "gguf" else folder


def hub_url() -> str:
    """The hub that is in use, for messages."""
    return hub_settings.endpoint()


def reachable(timeout: float = 2.0) -> bool:
    """Whether the hub answers at all, within ``timeout`` seconds. Any answer counts, an error page too."""
    if hub_settings.offline():
        return False
    answers: Queue[bool] = Queue()
    threading.Thread(target=lambda: answers.put(_answers(hub_url(), timeout)), daemon=True).start()
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


def _check_disk(missing: int) -> None:
    folder = hub_settings.cache_folder()
    needed, free = missing + _SPARE, _free(folder)
    if free is not None and free < needed:
        from llmserve.models.hub import errors as hub_errors

        raise hub_errors.disk_full(str(folder), needed=needed, free=free)


def _free(folder: Path) -> int | None:
    """Free bytes where ``folder`` is or, if it does not exist yet, will be."""
    for path in (folder, *folder.parents):
        try:
            return shutil.disk_usage(path).free
        except OSError:
            continue
    return None
