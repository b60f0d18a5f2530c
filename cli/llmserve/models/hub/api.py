"""What a hub says about a repository before anything is fetched: its files, and pieces of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from llmserve import __version__
from llmserve.errors import LlmserveError
from llmserve.models.headers.blob import Blob, LocalBlob
from llmserve.models.hub import cache as hub_cache
from llmserve.models.hub import errors as hub_errors
from llmserve.models.hub import settings as hub_settings

if TYPE_CHECKING:
    import httpx2

AT_ONCE = 48
"""Requests to a hub at the same time. More gain little: a checkpoint of hundreds of files is described in a second."""

_TIMEOUT = 15.0  # seconds, for each of connecting, sending and receiving
_ORIGINS = 2  # a hub, and the place of large files to which it redirects


@dataclass(frozen=True)
class RemoteFile:
    """``content_hash`` names the file's content in the cache, where the hub tells it."""

    size: int
    content_hash: str | None = None


@dataclass(frozen=True)
class Listing:
    """The files of one commit."""

    repo: str
    commit: str
    files: Mapping[str, RemoteFile]
    base_models: tuple[str, ...] = ()


class Hub:
    """A hub, reached through connections of its own; the libraries for that are imported at the first request."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = (endpoint or hub_settings.endpoint()).rstrip("/")

    @cached_property
    def token(self) -> str | None:
        """The user's access token. It is sent to this hub and never shown."""
        from huggingface_hub import get_token

        return get_token()

    def listing(self, repo: str, revision: str | None = None) -> Listing:
        """The files of a revision (None: main) with their sizes.

        Raises:
            LlmserveError: the repository, the revision or the hub is out of reach; see ``hub_errors.explain``.
        """
        with self.errors(repo, revision):
            from huggingface_hub import hf_raise_for_status
            from huggingface_hub.utils._validators import validate_repo_id

            validate_repo_id(repo)
            path = f"/revision/{quote(revision, safe='')}" if revision else ""
            url = f"{self.endpoint}/api/models/{repo}{path}?blobs=true"
            response = self._client.get(url, headers=self._headers(url))
            hf_raise_for_status(response)
            about = response.json()
            files = {
                file["rfilename"]: _remote(file) for file in about.get("siblings") or () if _plain(file["rfilename"])
            }
            return Listing(repo, about.get("sha") or revision or "main", files, _base_models(about))

    def url(self, listing: Listing, name: str) -> str:
        return f"{self.endpoint}/{listing.repo}/resolve/{quote(listing.commit, safe='')}/{quote(name)}"

    def read(self, listing: Listing, url: str, offset: int, length: int) -> tuple[bytes, str]:
        """Some bytes of a file, by an HTTP range request, and the address from which they came in the end."""
        with self.errors(listing.repo, listing.commit):
            import httpx2

            try:
                return self._read(url, offset, length)
            except (httpx2.ReadError, httpx2.RemoteProtocolError):  # one of many connections may well break
                return self._read(url, offset, length)

    def _read(self, url: str, offset: int, length: int) -> tuple[bytes, str]:
        from huggingface_hub import hf_raise_for_status

        headers = self._headers(url) | {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        with self._client.stream("GET", url, headers=headers) as response:
            hf_raise_for_status(response)
            ranged = response.status_code == 206  # a server may ignore the range
            # To its end if it is short, so that the connection can be used again.
            content = response.read() if ranged else _part(response.iter_bytes(), offset, length)
            return content[:length], str(response.url)

    def close(self) -> None:
        """Close the connections. The hub may be asked again: it will open new ones."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    @cached_property
    def _client(self) -> httpx2.Client:
        """Not the one of the hub's library: that keeps 20 connections open at most, and would close and open others."""
        import httpx2

        most = _ORIGINS * AT_ONCE
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
        return httpx2.Client(follow_redirects=True, limits=limits, timeout=_TIMEOUT)

    def _headers(self, url: str) -> dict[str, str]:
        """The token goes to the hub alone, not to where it keeps its files."""
        agent = {"User-Agent": f"llmserve/{__version__}"}
        private = self.token and url.startswith(f"{self.endpoint}/")
        return agent | {"Authorization": f"Bearer {self.token}"} if private else agent

    @contextmanager
    def errors(self, repo: str, revision: str | None) -> Iterator[None]:
        """Turn what the client raises into errors with sentences, and keep it from writing to the terminal."""
        if hub_settings.offline():
            raise hub_errors.offline(repo)
        _silence()
        try:
            yield
        except LlmserveError:
            raise
        except Exception as error:
            raise hub_errors.explain(
                error, repo=repo, revision=revision, endpoint=self.endpoint, token=bool(self.token)
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


def _silence() -> None:
    """The client's own warnings and log lines would stand between ours."""
    import logging
    import warnings

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"huggingface_hub\b")


def _base_models(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Repositories that the model's card names as its origin."""
    card = about.get("cardData")
    named = card.get("base_model") if isinstance(card, dict) else None
    return tuple(name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str))


def _remote(file: Mapping[str, Any]) -> RemoteFile:
    lfs = file.get("lfs")
    return RemoteFile(file.get("size") or 0, lfs["sha256"] if lfs else file.get("blobId"))


def _plain(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _part(pieces: Iterator[bytes], skip: int, length: int) -> bytes:
    """What stands after ``skip`` bytes, without asking for more pieces than ``length`` bytes take."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece[skip:]
        skip = max(0, skip - len(piece))
        if len(buffer) >= length:
            break
    return bytes(buffer)
