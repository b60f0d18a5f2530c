"""What a fake hub answers to which path: model information, trees, files, and its other origin for large ones."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
from typing import Any, Protocol
from urllib.parse import quote

from tests.fakes.hub_content import Content, Repo
from tests.fakes.hub_faults import BODY, Fault, Faults
from tests.fakes.hub_server import Exchange, Headers

PAGE = 1000
"""Entries of a tree in one answer."""

_SECRET = b"what the CDN and the hub know"


class Settings(Protocol):
    """What the routes need to know of the hub."""

    repos: dict[str, Repo]
    tokens: set[str]
    faults: Faults
    link_life: float
    relay: bool

    @property
    def url(self) -> str: ...
    @property
    def cdn(self) -> str: ...
    def count(self, name: str, size: int) -> None: ...
    def now(self) -> float: ...
    def goes_stale(self) -> None: ...


class _Refusal(Exception):  # noqa: N818
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})


class Routes:
    def __init__(self, hub: Settings) -> None:
        self.hub = hub

    def answer(self, exchange: Exchange) -> None:
        try:
            self._answer(exchange)
        except _Refusal as refusal:
            exchange.send(refusal.status, b'{"error": "refused"}', refusal.headers)

    def _answer(self, exchange: Exchange) -> None:
        path = exchange.path
        if fault := self.hub.faults.take(path, "status", "loop"):
            _replaced(exchange, fault)
        elif path.startswith("api/models/"):
            self._api(exchange, path.removeprefix("api/models/").split("/"))
        elif path == "api/whoami-v2":
            exchange.send(200 if self._token(exchange) else 401, b'{"name": "somebody", "type": "user"}')
        elif path.startswith("cdn/"):
            self._large(exchange, path.removeprefix("cdn/"))
        elif "/resolve/" in path:
            name, _, rest = path.partition("/resolve/")
            self._file(exchange, name, *rest.split("/", 1))
        elif path.startswith("api/resolve-cache/models/"):
            name, revision, file = _three(path.removeprefix("api/resolve-cache/models/"))
            self._file(exchange, name, revision, file, relayed=True)
        else:
            exchange.send(200, b"<html></html>", {"Content-Type": "text/html"})

    def _api(self, exchange: Exchange, parts: list[str]) -> None:
        name, action, revision = "/".join(parts[:2]), parts[2:3], "/".join(parts[3:]) or "main"
        repo = self._repo(exchange, name)
        if action == ["refs"]:
            branches = [
                {"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": at} for ref, at in repo.revisions.items()
            ]
            _json(exchange, {"branches": branches, "tags": [], "converts": []})
            return
        commit = _commit(repo, revision)
        if action == ["tree"]:
            self._tree(exchange, repo.tree)
            return
        gated = "manual" if repo.readers is not None else False
        about: dict[str, Any] = {"_id": "0", "id": name, "sha": commit, "gated": gated, "private": repo.private}
        _json(exchange, about | {"siblings": repo.siblings, "cardData": repo.card})

    def _tree(self, exchange: Exchange, entries: list[dict[str, Any]]) -> None:
        """One page; the hub names the next one in a header."""
        begin = int(exchange.query.get("cursor", 0))
        more = {}
        if begin + PAGE < len(entries):
            more = {"Link": f'<{self.hub.url}/{quote(exchange.path)}?recursive=true&cursor={begin + PAGE}>; rel="next"'}
        _json(exchange, entries[begin : begin + PAGE], more)

    def _file(self, exchange: Exchange, name: str, revision: str, file: str = "", *, relayed: bool = False) -> None:
        repo = self._repo(exchange, name)
        commit = _commit(repo, revision)
        self._gate(exchange, name, repo)
        if file not in repo.files:
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        about = repo.about[file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{about["oid"]}"'}
        if "lfs" in about:
            found = about["lfs"]
            headers |= {"X-Linked-Etag": f'"{found["oid"]}"', "X-Linked-Size": str(found["size"])}
            exchange.send(302, b"", headers | {"Location": self._signed(f"{found['oid']}/{file}")})
        elif self.hub.relay and not relayed:
            place = f"/api/resolve-cache/models/{name}/{commit}/{quote(file)}"
            exchange.send(307, b"", headers | {"Location": place, "X-Linked-Size": str(about["size"])})
        else:
            self._body(exchange, repo.files[file], headers, file)

    def _signed(self, path: str) -> str:
        expires = str(self.hub.now() + self.hub.link_life)
        return f"{self.hub.cdn}/cdn/{quote(path)}?Expires={expires}&Signature={_signature(path, expires)}"

    def _large(self, exchange: Exchange, path: str) -> None:
        assert "authorization" not in exchange.headers
        wanted, _, name = path.partition("/")
        expires = exchange.query.get("Expires", "0")
        good = hmac.compare_digest(_signature(path, expires), exchange.query.get("Signature", ""))
        stale = float(expires) < self.hub.now()
        if stale:
            self.hub.goes_stale()
        if self.hub.faults.take(exchange.path, "expired") or not good or stale:
            raise _Refusal(403, "", "Request has expired")
        found = next((repo.large[wanted] for repo in self.hub.repos.values() if wanted in repo.large), None)
        if found is None:
            raise _Refusal(403, "", "This address is not valid")
        self._body(exchange, found, {"ETag": f'"{wanted}"'}, name)

    def _repo(self, exchange: Exchange, name: str) -> Repo:
        token = self._token(exchange)
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and token not in (repo.readers or set())):
            raise _Refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        return repo

    def _token(self, exchange: Exchange) -> str | None:
        token = exchange.headers.get("authorization", "").removeprefix("Bearer ") or None
        if token and token not in self.hub.tokens:
            raise _Refusal(401, "", "Invalid credentials in Authorization header")
        return token

    def _gate(self, exchange: Exchange, name: str, repo: Repo) -> None:
        token = self._token(exchange)
        if repo.readers is not None and token not in repo.readers:
            raise _Refusal(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")

    def _body(self, exchange: Exchange, content: Content, headers: Headers, name: str) -> None:
        size, wanted = len(content), exchange.headers.get("range")
        if wanted and self.hub.faults.take(exchange.path, "no_range"):
            wanted = None
        first, end = _range(wanted, size)
        if first >= end and size:
            exchange.send(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        fault = None
        if exchange.method == "GET":
            kinds = BODY if wanted else tuple(kind for kind in BODY if kind != "wrong_range")
            fault = self.hub.faults.take(exchange.path, *kinds, first=first, length=end - first)
        if fault and fault.kind == "wrong_range":
            first, end = first - fault.after, end - fault.after
        if wanted:
            headers = headers | {"Content-Range": f"bytes {first}-{end - 1}/{size}"}
        if fault and fault.kind == "gzip":
            packed = gzip.compress(content[first:end], 1)
            self.hub.count(name, len(packed))
            exchange.send(206 if wanted else 200, packed, headers | {"Content-Encoding": "gzip"})
            return
        short = fault.after if fault and fault.kind == "wrong_length" else 0
        lengths = {"Content-Length": str(end - first - short), "Accept-Ranges": "bytes"}
        exchange.head(206 if wanted else 200, headers | lengths)
        if exchange.method == "GET":
            self._write(exchange, name, content, first, end - short, fault)

    def _write(
        self, exchange: Exchange, name: str, content: Content, first: int, end: int, fault: Fault | None
    ) -> None:
        pacing = fault if fault and fault.kind == "slow" else self.hub.faults.pacing(exchange.path)
        if fault and fault.kind == "corrupt":
            exchange.write(name, content, first, fault.after, pacing)
            wrong = bytes([content[fault.after : fault.after + 1][0] ^ 0xFF])
            exchange.write(name, wrong, 0, 1, pacing)
            first = fault.after + 1
        elif fault and fault.kind in ("cut", "truncate", "reset", "hang"):
            stop = fault.after if fault.kind == "truncate" else first + fault.after
            exchange.write(name, content, first, stop, pacing)
            exchange.open = False
            {"reset": exchange.reset, "hang": exchange.hang}.get(fault.kind, lambda: None)()
            return
        exchange.write(name, content, first, end, pacing)


def _replaced(exchange: Exchange, fault: Fault) -> None:
    if fault.kind == "loop":
        exchange.send(302, b"", {"Location": f"{exchange.origin}/{quote(exchange.path)}"})
        return
    headers = {}
    if fault.retry_after is not None:
        headers = {"Retry-After": f"{fault.retry_after:g}"}
    if fault.retry_date and fault.retry_after is not None:
        headers = {"Retry-After": exchange.date(fault.retry_after), "Date": exchange.date()}
    exchange.send(fault.status, b'{"error": "a fault on demand"}', headers)


def _range(wanted: str | None, size: int) -> tuple[int, int]:
    """The first byte that is asked for, and the one after the last."""
    if not wanted:
        return 0, size
    begin, _, last = wanted.removeprefix("bytes=").partition("-")
    if not begin:
        return max(0, size - int(last)), size
    return int(begin), min(int(last) + 1 if last else size, size)


def _three(path: str) -> tuple[str, str, str]:
    owner, name, revision, file = path.split("/", 3)
    return f"{owner}/{name}", revision, file


def _commit(repo: Repo, revision: str) -> str:
    commit = repo.revisions.get(revision, revision)
    if commit not in repo.revisions.values():
        raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return commit


def _signature(path: str, expires: str) -> str:
    return hmac.new(_SECRET, f"{path} {expires}".encode(), hashlib.sha256).hexdigest()[:32]


def _json(exchange: Exchange, content: Any, headers: Headers | None = None) -> None:
    exchange.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"} | (headers or {}))
