"""Where the bytes of one file come from: its hub, or the place to which the hub sends, for as long as that is good."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from llmserve import __version__, proxies
from llmserve.models.hub import download_errors
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.body import Answer
from llmserve.models.hub.exchange import Client
from llmserve.models.hub.patience import Hiccup, asked_to_wait
from llmserve.models.hub.plan import FetchPlan, Wanted

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 8
_EXPIRED = (400, 401, 403, 404, 410)  # what stores of files answer to a signed address whose time is over
_BUSY = (408, 425, 429)
_SMALL = 64 * 1024  # bytes of an unwanted body that are read, so that the connection can be used again
_FEW = 3
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_ETAG = re.compile(r'(?:W/)?"?([\w.-]{1,128})"?', re.ASCII)


class OffersXet(Exception):  # noqa: N818 - a better way, not a fault
    """The hub has this file in Xet storage."""


class Part:
    """A body that begins at byte ``offset`` of the file. ``ranged``: the server sends parts of files at all."""

    def __init__(self, answer: Answer, offset: int, *, ranged: bool) -> None:
        self.answer, self.offset, self.ranged = answer, offset, ranged


class Source:
    """One file of a commit."""

    def __init__(self, hub: Hub, plan: FetchPlan, file: Wanted) -> None:
        self._hub, self._file = hub, file
        self.endpoint = hub.endpoint
        path = f"{plan.repo}/resolve/{quote(plan.commit, safe='')}/{quote(file.name)}"
        self.url = f"{self.endpoint}/{path}"
        self._place: str | None = None

    def open(self, client: Client, start: int, end: int, *, xet: bool = False) -> Part:
        """A body that has byte ``start`` of the file, and goes on to ``end`` if the server does as it is asked.

        ``xet``: to be told instead that the hub offers that.

        Raises:
            Hiccup: not now.
            OffersXet, LlmserveError: not so.
        """
        whole = start == 0 and end == self._file.size_bytes
        headers = {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        answer, url = self._follow(client, self._place or self.url, headers, xet=xet)
        try:
            part = self._part(answer, url, start, asked=not whole)
        except BaseException:
            _leave(answer)
            raise
        self._place = None if self._is_hub(url) else url
        return part

    def forget(self) -> None:
        """Ask the hub again where the file is."""
        self._place = None

    def etag(self, client: Client) -> str:
        """The name of the file's content, which the hub's answer tells where its list does not."""
        answer, _ = self._follow(client, self.url, {"Range": "bytes=0-0"}, only_first=True)
        _leave(answer)
        if answer.status >= 400:
            self._refuse(answer, self.url)
        found = _ETAG.fullmatch(answer.headers.get("X-Linked-Etag") or answer.headers.get("ETag") or "")
        if found is None:
            raise Hiccup("the hub does not say which content it has", tries=_FEW, code="hub_bad_answer")
        return found[1]

    def _follow(
        self, client: Client, url: str, headers: Mapping[str, str], *, xet: bool = False, only_first: bool = False
    ) -> tuple[Answer, str]:
        seen = {url}
        while True:
            answer = client.get(url, {**self._headers(url), **headers})
            if answer.status not in _REDIRECTS:
                return answer, url
            if xet and self._is_hub(url) and "X-Xet-Hash" in answer.headers:
                _leave(answer)
                raise OffersXet
            self._check_link(answer)
            target = urljoin(url, answer.headers.get("Location") or "")
            if only_first and "X-Linked-Etag" in answer.headers:
                return answer, url
            _leave(answer)
            if target in seen or len(seen) > _MOST_REDIRECTS:
                raise Hiccup("the hub redirects in a circle", tries=_FEW, code="hub_bad_answer")
            _check_redirect(url, target)
            seen.add(target)
            url = target

    def _headers(self, url: str) -> dict[str, str]:
        """The token, or the password of a mirror, goes to the hub alone, not to where it keeps its files."""
        headers = {"User-Agent": f"llmserve/{__version__}"}
        if self._is_hub(url):
            user = urlsplit(self.endpoint)
            if self._hub.token:
                headers["Authorization"] = f"Bearer {self._hub.token}"
            elif user.username is not None:
                headers["Authorization"] = proxies.basic(user)
        return headers

    def _is_hub(self, url: str) -> bool:
        return hub_settings.shown(url).startswith(f"{hub_settings.shown(self.endpoint)}/")

    def _check_link(self, answer: Answer) -> None:
        size = answer.headers.get("X-Linked-Size")
        if size and size.isascii() and size.isdigit() and int(size) != self._file.size_bytes:
            raise self._other_size(int(size))

    def _part(self, answer: Answer, url: str, start: int, *, asked: bool) -> Part:
        if answer.status not in (200, 206):
            self._refuse(answer, url)
        if answer.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise Hiccup("it comes compressed although nobody asked for that", tries=_FEW, code="hub_bad_answer")
        if answer.status == 200:
            if answer.left is not None and answer.left != self._file.size_bytes:
                raise self._other_size(answer.left)
            return Part(answer, 0, ranged=not asked)
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) > start or int(found[2]) < start:
            raise Hiccup("another part of it comes than was asked for", tries=_FEW, code="hub_bad_answer")
        if found[3] != "*" and int(found[3]) != self._file.size_bytes:
            raise self._other_size(int(found[3]))
        return Part(answer, int(found[1]), ranged=True)

    def _other_size(self, size: int) -> Hiccup:
        return Hiccup(
            f"it has {size} bytes there, and {self._file.size_bytes} in the hub's list", tries=_FEW, code="wrong_size"
        )

    def _refuse(self, answer: Answer, url: str) -> None:
        """Always raises: what a status means depends on who says it."""
        status, host = answer.status, urlsplit(url).hostname or ""
        wait = asked_to_wait(answer.headers)
        if status == 429:
            raise Hiccup(f"{host} wants fewer requests (429)", wait=wait, code="hub_rate_limit")
        if status in _BUSY or status >= 500:
            raise Hiccup(f"{host} answers {status}", wait=wait)
        if not self._is_hub(url) and status in _EXPIRED:
            self.forget()
            raise Hiccup(f"the address that the hub gave is no longer good ({host} answers {status})")
        if status == 416:
            raise Hiccup("it is shorter there than the hub's list says", tries=_FEW, code="wrong_size")
        if status == 404:
            raise download_errors.gone(self._file.name, self.endpoint)
        if status in (401, 403):
            self._explain(answer)
            raise download_errors.no_access(self._file.name, self.endpoint, status)
        raise Hiccup(f"{host} answers {status}", tries=_FEW)

    def _explain(self, answer: Answer) -> None:
        """Let the hub's own client say what a refusal means: it knows gated, private and unknown repositories."""
        import httpx2
        from huggingface_hub import hf_raise_for_status

        headers = [(name, value) for name, value in answer.headers.items() if name.lower().startswith("x-")]
        request = httpx2.Request("GET", hub_settings.shown(self.url))
        hf_raise_for_status(httpx2.Response(answer.status, headers=headers, request=request, content=b""))


def _check_redirect(origin: str, target: str) -> None:
    before, after = urlsplit(origin), urlsplit(target)
    if after.scheme not in ("http", "https") or not after.hostname:
        raise Hiccup("the hub redirects to what is no web address", tries=_FEW, code="hub_bad_answer")
    if before.scheme == "https" and after.scheme == "http":
        raise Hiccup("the hub redirects to an address without encryption", tries=_FEW, code="hub_bad_answer")


def _leave(answer: Answer) -> None:
    """Done with an answer, whose body says nothing of use."""
    if answer.left is not None and answer.left <= _SMALL:
        scrap = memoryview(bytearray(answer.left))
        with contextlib.suppress(Hiccup):
            while answer.left and answer.fill(scrap):
                pass
    answer.end()
