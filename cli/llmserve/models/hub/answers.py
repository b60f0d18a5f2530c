"""What a hub answered, read with suspicion: it may be a mirror's fault page, a login page of this network, or worse."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmserve.errors import LlmserveError
from llmserve.models.hub import settings as hub_settings

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 64 * 1024**2
"""Of a listing: a repository of 200,000 files has as much to say."""

_DISTRUST = "Nothing was fetched. Do not trust this repository, or this hub."
_LONGEST_TIME = 60.0  # seconds for a listing, once it has begun
_TELLING = ("x-error-code", "x-error-message", "retry-after", "ratelimit", "ratelimit-policy")

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 2**50  # bytes of a file: no disk holds more
_LONGEST, _LONGEST_PART = 1024, 255  # bytes of a name, and of what stands between its slashes


@dataclass(frozen=True)
class RemoteFile:
    """``content_hash`` names the file's content in the cache, where the hub tells it.

    It is ``sha256``, that of the content, for large files, and ``git_sha1``, that of a git blob, for small ones.
    """

    size: int
    content_hash: str | None = None
    sha256: str | None = None
    git_sha1: str | None = None


@dataclass(frozen=True)
class Listing:
    """The files of one commit. ``gated``: how access is given: ``auto``, ``manual``, or not restricted at all."""

    repo: str
    commit: str
    files: Mapping[str, RemoteFile]
    base_models: tuple[str, ...] = ()
    gated: str = ""
    private: bool = False


def bad(endpoint: str, what: str, *, hint: str | None = None, code: str = "hub_bad_answer") -> LlmserveError:
    """The error for an answer that no hub gives: ``what`` completes the sentence after the hub's address."""
    where = hub_settings.shown(endpoint)
    usual = f"Look at {where} in a browser"
    mirror = "" if endpoint == hub_settings.DEFAULT_ENDPOINT else "; HF_ENDPOINT may name something that is no hub"
    return LlmserveError(f"{where} {what}.", hint=hint or f"{usual}{mirror}.", code=code)


def web_page(endpoint: str, status: int = 200) -> LlmserveError:
    number = "" if status == 200 else f" ({status})"
    return bad(
        endpoint,
        f"was asked for data and answered with a web page{number}",
        hint="A login page or a proxy of this network may stand between: open the address in a browser first.",
    )


def check(response: httpx2.Response, endpoint: str, *, offset: int | None = None) -> None:
    """Raise what the hub's library raises for a refusal; it is shown no more of it than it needs.

    ``offset``: bytes from there were asked for.

    Raises:
        HfHubHTTPError: the hub says no.
        LlmserveError: ``hub_bad_answer``: no hub speaks like that.
    """
    import httpx2
    from huggingface_hub import hf_raise_for_status

    kind, status = response.headers.get("Content-Type", ""), response.status_code
    if status == 200 or (status == 206 and offset is not None):
        _check_content(response, kind, endpoint, offset)
        return
    told = {name: value for name, value in response.headers.items() if name.lower() in _TELLING}
    if "html" in kind and not told and status in (401, 403, 404):
        raise web_page(endpoint, status)
    said = _words(response)
    hf_raise_for_status(
        httpx2.Response(status, headers=told, json={"error": said} if said else {}, request=response.request)
    )
    raise bad(endpoint, f"gives an answer that leads nowhere ({status})")


def whole(response: httpx2.Response) -> bytes | None:
    """The body of an answer; None if it is longer than any that is of use, or never ends."""
    ends = time.monotonic() + _LONGEST_TIME
    return _at_most(response, MOST_BYTES, ends)


def _at_most(response: httpx2.Response, most: int, ends: float) -> bytes | None:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > most or time.monotonic() > ends:
            return None
    return bytes(body)


def _words(response: httpx2.Response) -> str:
    """What the body of a refusal says, where the headers do not."""
    try:
        content = json.loads(_at_most(response, 64 * 1024, time.monotonic() + 5) or b"")
    except (ValueError, RecursionError):
        return ""
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, str) else ""


def _check_content(response: httpx2.Response, kind: str, endpoint: str, offset: int | None) -> None:
    if offset is None:
        return
    if response.status_code == 206:
        span = response.headers.get("Content-Range", "")
        if not span.startswith(f"bytes {offset}-"):
            raise bad(endpoint, f"was asked for the bytes from {offset} and answered with others ({span or 'unnamed'})")
    elif "html" in kind and not str(response.url).endswith((".html", ".htm")):
        raise web_page(endpoint)


def about(body: bytes, content_type: str, endpoint: str) -> Mapping[str, Any]:
    """The JSON object in an answer.

    Raises:
        LlmserveError: ``hub_bad_answer``: it is something else.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        if "html" in content_type.lower() or body.lstrip()[:1] == b"<":
            raise web_page(endpoint) from None
        raise bad(endpoint, "was asked for JSON and answered with something else") from None
    if not isinstance(content, dict):
        raise bad(endpoint, "answered with JSON that does not describe a model")
    return content


def listing(content: Mapping[str, Any], repo: str, endpoint: str) -> Listing:
    """What the hub says of a repository at one commit.

    Raises:
        LlmserveError: ``hub_bad_answer``: it says too little; ``unsafe_name``, ``absurd_size``: it lists what no
            repository can hold.
    """
    commit, siblings = content.get("sha"), content.get("siblings")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise bad(endpoint, f"does not say which commit of {repo} it speaks of")
    if not isinstance(siblings, list):
        raise bad(endpoint, f"does not list the files of {repo}")
    files = {}
    for file in siblings:
        name = file.get("rfilename") if isinstance(file, dict) else None
        if not isinstance(name, str):
            raise bad(endpoint, f"lists a file of {repo} without a name")
        _check_name(name, repo, endpoint)
        files[name] = _file(file, name, repo, endpoint)
    gated = content.get("gated")
    return Listing(
        repo, commit, files, _base_models(content), gated if isinstance(gated, str) else "",
        content.get("private") is True,
    )  # fmt: skip


def _file(file: Mapping[str, Any], name: str, repo: str, endpoint: str) -> RemoteFile:
    lfs = file.get("lfs")
    large = lfs if isinstance(lfs, dict) else {}
    size = file.get("size", large.get("size"))
    if type(size) is not int or not 0 <= size <= _LARGEST:
        if size is None:
            raise bad(endpoint, f"does not say how large {name} of {repo} is")
        raise bad(endpoint, f"gives {name} of {repo} a size that cannot be", hint=_DISTRUST, code="absurd_size")
    sha256 = _hash(large.get("sha256") or large.get("oid"), _SHA256)
    git_sha1 = None if large else _hash(file.get("blobId"), _COMMIT)
    return RemoteFile(size, sha256 or git_sha1, sha256, git_sha1)


def _hash(value: object, shape: re.Pattern[str]) -> str | None:
    """A hash names a file of the cache: anything else might name a file elsewhere."""
    return value if isinstance(value, str) and shape.fullmatch(value) else None


def _check_name(name: str, repo: str, endpoint: str) -> None:
    if not safe(name):
        shown = name.encode("utf-8", "backslashreplace").decode()[:80]
        what = f"lists a file of {repo} whose name is refused, as it is not safe: {shown!r}"
        raise bad(endpoint, what, hint=_DISTRUST, code="unsafe_name")


def safe(name: str) -> bool:
    """Whether a file of this name lies within its repository, on every disk."""
    try:
        parts = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:  # half a surrogate pair: no UTF-8
        return False
    whole = all(part not in (b"", b".", b"..") and len(part) <= _LONGEST_PART for part in parts)
    return whole and "\0" not in name and len(name.encode()) <= _LONGEST


def _base_models(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Repositories that the model's card names as its origin."""
    card = content.get("cardData")
    named = card.get("base_model") if isinstance(card, dict) else None
    return tuple(name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str))
