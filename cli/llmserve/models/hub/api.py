"""What a hub says about a repository before anything is fetched: its files, and pieces of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from llmserve import __version__
from llmserve.errors import LlmserveError
from llmserve.models.headers.blob import Blob, LocalBlob
from llmserve.models.hub import access, answers, connection
from llmserve.models.hub import cache as hub_cache
from llmserve.models.hub import errors as hub_errors
from llmserve.models.hub import settings as hub_settings
from llmserve.models.hub.access import Asked
from llmserve.models.hub.answers import Listing, RemoteFile

if TYPE_CHECKING:
    import httpx2

    from llmserve.models.hub.login import Token

__all__ = ["AT_ONCE", "Hub", "HubFiles", "Listing", "RemoteFile"]

T = TypeVar("T")

AT_ONCE = 48
"""Requests to a hub at the same time. More gain little: a checkpoint of hundreds of files is described in a second."""

_ORIGINS = 2  # a hub, and the place of large files to which it redirects
_PAUSES = (0.2, 0.5, 1.0)  # seconds before a hub with a passing fault is asked again
_PATIENT_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)  # a pull outlives a hub's restart
_LONGEST = 40.0  # seconds of patience in all
_AGENT = {"User-Agent": f"llmserve/{__version__}"}


class Hub:
    """A hub, reached through connections of its own; the libraries for that are imported at the first request.

    ``patient``: one that cannot be reached is asked again for some seconds, as for a pull that nobody watches.
    """

    def __init__(self, endpoint: str | None = None, *, patient: bool = False) -> None:
        self.endpoint = (endpoint or hub_settings.endpoint()).rstrip("/")
        self.patient = patient

    @property
    def token(self) -> str | None:
        """The user's access token. It is sent to this hub and never shown."""
        return self.login.value if self.login else None

    @cached_property
    def login(self) -> Token | None:
        """The token, and where it came from."""
        from llmserve.models.hub import login

        return login.find()

    def listing(self, repo: str, revision: str | None = None) -> Listing:
        """The files of a revision (None: main) with their sizes.

        Raises:
            LlmserveError: the repository, the revision or the hub is out of reach; see ``hub_errors.explain``.
        """
        with self.errors(repo, revision):
            from huggingface_hub.utils._validators import validate_repo_id

            validate_repo_id(repo)
            path = f"/revision/{quote(revision, safe='')}" if revision else ""
            url = f"{self.endpoint}/api/models/{repo}{path}?blobs=true"
            try:
                return self._again(lambda left: self._listing(url, repo, left))
            except Exception as error:
                self._doubt_token(error, repo, url)
                raise

    def _listing(self, url: str, repo: str, left: float) -> Listing:
        request = self._client.build_request("GET", url, headers=self._headers(url))
        sent = connection.in_time(lambda: self._client.send(request, stream=True), left, late=lambda it: it.close())
        with closing(sent) as response:
            answers.check(response, self.endpoint)
            body = answers.whole(response)
        if body is None:
            raise answers.bad(self.endpoint, f"says more of {repo} than there is to say of any model")
        content = answers.about(body, response.headers.get("Content-Type", ""), self.endpoint)
        return answers.listing(content, repo, self.endpoint)

    def _doubt_token(self, error: Exception, repo: str, url: str) -> None:
        """A token that is not valid hides public models as well: find out whether this is one, and say so."""
        if self.login is None or not hub_errors.rejects_token(error):
            return
        request, public = self._client.build_request("GET", url, headers=_AGENT), False
        with suppress(Exception), closing(self._client.send(request, stream=True)) as response:
            public = response.status_code == 200
        shown = hub_settings.shown(self.endpoint)
        asked = Asked(repo=repo, revision=None, endpoint=shown, token=True, source=self.login.source)
        raise access.rejected(asked, hub_errors.said(error), public=public) from error

    def url(self, listing: Listing, name: str) -> str:
        return f"{self.endpoint}/{listing.repo}/resolve/{quote(listing.commit, safe='')}/{quote(name)}"

    def check_access(self, listing: Listing) -> None:
        """Find out whether a gated repository may be read. (Anybody may list one.)"""
        sizes = {name: file.size for name, file in listing.files.items() if file.size}
        if listing.gated and sizes:
            self.read(listing, self.url(listing, min(sizes, key=lambda name: sizes[name])), 0, 1)

    def read(self, listing: Listing, url: str, offset: int, length: int) -> tuple[bytes, str]:
        """Some bytes of a file, by an HTTP range request, and the address from which they came in the end."""
        with self.errors(listing.repo, listing.commit):
            return self._again(lambda _: self._read(url, offset, length))

    def _read(self, url: str, offset: int, length: int) -> tuple[bytes, str]:
        headers = self._headers(url) | {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        with self._client.stream("GET", url, headers=headers) as response:
            answers.check(response, self.endpoint, offset=offset)
            ranged = response.status_code == 206  # a server may ignore the range
            content = _part(response.iter_bytes(), 0 if ranged else offset, length)
            return content, str(response.url)

    def _again(self, work: Callable[[float], T]) -> T:
        """What ``work`` returns at the first time that nothing passing is in its way. It is told the seconds it has."""
        patience = hub_settings.patience()
        ends = time.monotonic() + (_LONGEST if self.patient else patience)
        for planned in _PATIENT_PAUSES if self.patient else _PAUSES:
            try:
                return work(min(patience, ends - time.monotonic()))
            except Exception as error:
                pause = connection.pause(error, planned, patient=self.patient)
                if pause is None or time.monotonic() + pause >= ends:
                    raise
                time.sleep(pause)
        return work(min(patience, ends - time.monotonic()))

    def close(self) -> None:
        """Close the connections. The hub may be asked again: it will open new ones."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    @cached_property
    def _client(self) -> httpx2.Client:
        return connection.client(self.endpoint, _ORIGINS * AT_ONCE)

    def _headers(self, url: str) -> dict[str, str]:
        """The token goes to the hub alone, not to where it keeps its files."""
        private = self.token and url.startswith(f"{self.endpoint}/")
        return _AGENT | {"Authorization": f"Bearer {self.token}"} if private else _AGENT

    @contextmanager
    def errors(self, repo: str, revision: str | None) -> Iterator[None]:
        """Turn what the client raises into errors with sentences, and keep it from writing to the terminal."""
        if hub_settings.offline():
            raise hub_errors.offline(repo)
        if not hub_settings.is_address(self.endpoint):
            raise hub_errors.no_address(self.endpoint)
        connection.silence()
        try:
            yield
        except LlmserveError:
            raise
        except Exception as error:
            source = self.login.source if self.login else ""
            raise hub_errors.explain(
                error, repo=repo, revision=revision, endpoint=self.endpoint, token=bool(source), source=source
            ) from error


@dataclass(frozen=True)
class HubFiles:
    """The files of a commit; those that are in the cache are read from there."""

    hub: Hub
    listing: Listing
    _blobs: dict[str, Blob] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def where(self) -> str:
        return self.listing.repo

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        return {name: file.size for name, file in self.listing.files.items()}

    def blob(self, name: str) -> Blob:
        if name not in self._blobs:
            remote = self.listing.files[name]
            cached = hub_cache.file(self.listing.repo, self.listing.commit, name, remote.content_hash)
            self._blobs[name] = LocalBlob.of(cached) if cached else _RemoteBlob(self, name)
        return self._blobs[name]

    def missing(self, names: tuple[str, ...]) -> int:
        """Bytes of ``names`` that are not in the cache."""
        return sum(self.sizes[name] for name in names if isinstance(self.blob(name), _RemoteBlob))


@dataclass
class _RemoteBlob:
    """``place`` is where the hub redirected to: further reads need not be redirected again."""

    files: HubFiles
    path: str
    place: str | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return f"{self.files.where}/{self.path}"

    @property
    def size(self) -> int:
        return self.files.sizes[self.path]

    def read(self, offset: int, length: int) -> bytes:
        wanted = min(length, self.size - offset)
        if wanted <= 0:
            return b""
        place, self.place = self.place, None  # forgotten if it fails: such addresses expire
        try:
            return self._read(place or self._address, offset, wanted)
        except LlmserveError:
            if place is None:
                raise
            return self._read(self._address, offset, wanted)

    @property
    def _address(self) -> str:
        return self.files.hub.url(self.files.listing, self.path)

    def _read(self, url: str, offset: int, length: int) -> bytes:
        content, self.place = self.files.hub.read(self.files.listing, url, offset, length)
        return content


def _part(pieces: Iterator[bytes], skip: int, length: int) -> bytes:
    """What stands after ``skip`` bytes. No pieces are asked for beyond ``length`` bytes, or beyond the end, which lets
    the connection be used again."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece[skip:]
        skip = max(0, skip - len(piece))
        if len(buffer) > length:
            break
    return bytes(buffer[:length])
