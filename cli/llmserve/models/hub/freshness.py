"""Whether a branch still stands for the commit that is cached: one small question, asked without the heavy client.

Its answer is trusted only where it is plain. After anything else (a login is wanted, the commit is another one, nobody
answers) the full question follows, whose errors have sentences.
"""

from __future__ import annotations

from http.client import HTTPException
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from llmserve import __version__
from llmserve.models.hub.plan import FetchPlan

_PATIENCE = 4.0  # seconds


def unchanged(endpoint: str, plan: FetchPlan) -> bool:
    """Whether the hub says, to somebody without a token, that ``plan.revision`` is ``plan.commit``."""
    smallest = min(plan.files, key=lambda file: file.size_bytes)
    url = f"{endpoint}/{plan.repo}/resolve/{quote(plan.revision, safe='')}/{quote(smallest.name)}"
    answers: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=lambda: answers.put(_answer(url)), daemon=True).start()
    try:
        return answers.get(timeout=_PATIENCE) == plan.commit
    except Empty:  # name resolution knows no time limit of its own
        return False


def _answer(url: str) -> str | None:
    try:
        return _commit(url)
    except (OSError, ValueError, HTTPException):
        return None


def _commit(url: str) -> str | None:
    """What the first answer names; where that leads to does not matter."""
    request = Request(url, method="HEAD", headers={"User-Agent": f"llmserve/{__version__}"})  # noqa: S310
    try:
        with _opener(url).open(request, timeout=_PATIENCE) as response:
            found: str | None = response.headers.get("X-Repo-Commit")
            return found
    except HTTPError as error:
        with error:
            return error.headers.get("X-Repo-Commit") if 300 <= error.code < 400 else None


def _opener(url: str) -> OpenerDirector:
    host = urlsplit(url).hostname or ""
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    return build_opener(_Stay, *([ProxyHandler({})] if loopback else []))


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> None:
        """A redirect is an answer here."""
