"""What a hub says about a repository before anything is fetched: its files, and pieces of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from llmserve.errors import LlmserveError
from llmserve.models import hub_cache, hub_errors, hub_settings
from llmserve.models.blob import Blob, LocalBlob

_TIMEOUT = 15.0  # seconds, for each of connecting, sending and receiving


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


class Hub:
    """A hub, reached through its own client, which is imported at the first request."""

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
            from huggingface_hub import HfApi

            api = HfApi(endpoint=self.endpoint, token=self.token or False)
            info = api.model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT)
            files = {file.rfilename: _remote(file) for file in info.siblings or () if _plain(file.rfilename)}
            return Listing(repo, info.sha or revision or "main", files)

    def read(self, listing: Listing, name: str, offset: int, length: int) -> bytes:
        """Some bytes of a file, by an HTTP range request."""
        with self.errors(listing.repo, listing.commit):
            from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
            from huggingface_hub.utils._headers import build_hf_headers

            url = hf_hub_url(listing.repo, name, revision=listing.commit, endpoint=self.endpoint)
            headers = build_hf_headers(token=self.token or False)
            headers |= {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
            with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT) as response:
                hf_raise_for_status(response)
                skip = 0 if response.status_code == 206 else offset  # a server may ignore the range
                return _first(response.iter_bytes(), skip, length)

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

    @property
    def where(self) -> str:
        return self.listing.repo

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        return {name: file.size for name, file in self.listing.files.items()}

    def blob(self, name: str) -> Blob:
        remote = self.listing.files[name]
        cached = hub_cache.file(self.listing.repo, self.listing.commit, name, remote.content_hash)
        return LocalBlob.of(cached) if cached else _RemoteBlob(self, name)

    def missing(self, names: tuple[str, ...]) -> int:
        """Bytes of ``names`` that are not in the cache."""
        return sum(self.sizes[name] for name in names if isinstance(self.blob(name), _RemoteBlob))


@dataclass(frozen=True)
class _RemoteBlob:
    files: HubFiles
    path: str

    @property
    def name(self) -> str:
        return f"{self.files.where}/{self.path}"

    @property
    def size(self) -> int:
        return self.files.sizes[self.path]

    def read(self, offset: int, length: int) -> bytes:
        wanted = min(length, self.size - offset)
        return self.files.hub.read(self.files.listing, self.path, offset, wanted) if wanted > 0 else b""


def _silence() -> None:
    """The client's own warnings and log lines would stand between ours."""
    import logging
    import warnings

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"huggingface_hub\b")


def _remote(file: object) -> RemoteFile:
    lfs = getattr(file, "lfs", None)
    content_hash = lfs.sha256 if lfs else getattr(file, "blob_id", None)
    return RemoteFile(getattr(file, "size", None) or 0, content_hash)


def _plain(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _first(pieces: Iterator[bytes], skip: int, length: int) -> bytes:
    buffer = b""
    for piece in pieces:
        if skip >= len(piece):
            skip -= len(piece)
            continue
        buffer += piece[skip:]
        skip = 0
        if len(buffer) >= length:
            break
    return buffer[:length]
