"""A hub on loopback: as much of the Hugging Face Hub's protocol as its own client uses, serving files from memory.

The real client runs against it through ``HF_ENDPOINT``. Requests and the bytes of file bodies are counted.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Headers = dict[str, str]
_LARGE = (".safetensors", ".gguf", ".bin")


@dataclass(frozen=True)
class Hollow:
    """A file of ``size`` bytes that is nothing but zeros after its ``start``: weights that nobody has to store."""

    start: bytes
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        first, end, _ = part.indices(self.size)
        content = self.start[first:end]
        return content + bytes(max(0, end - first) - len(content))


Content = bytes | Hollow


@dataclass
class Repo:
    """``files`` by name. ``readers`` are the tokens that may read a gated repository (None: everybody may)."""

    files: Mapping[str, Content]
    revisions: dict[str, str] = field(default_factory=dict)
    readers: set[str] | None = None
    private: bool = False

    def __post_init__(self) -> None:
        digest = hashlib.sha1(b"".join(name.encode() + _start(content) for name, content in sorted(self.files.items())))
        self.revisions.setdefault("main", digest.hexdigest())

    @property
    def commit(self) -> str:
        return self.revisions["main"]

    @cached_property
    def about(self) -> dict[str, dict[str, Any]]:
        return {name: _about(name, content) for name, content in self.files.items()}

    @cached_property
    def large(self) -> dict[str, Content]:
        """The files that come from another origin, by the hash of their content."""
        return {self.about[name]["lfs"]["oid"]: self.files[name] for name in self.files if "lfs" in self.about[name]}


def folder(path: Path) -> dict[str, Content]:
    """The files of a folder, as ``Repo`` takes them."""
    return {item.relative_to(path).as_posix(): item.read_bytes() for item in path.rglob("*") if item.is_file()}


@dataclass
class Fault:
    """What goes wrong while file bodies are sent: after ``after`` bytes, ``times`` times; ``pause`` in seconds."""

    after: int = 0
    times: int = 0
    pause: float = 0.0


class FakeHub:
    """``with FakeHub({"org/name": Repo(...)}) as hub: ...``; ``tokens`` are those that the hub knows at all.

    Every request waits ``latency`` seconds for its answer, the one that is redirected as well as the one after it.
    ``opened`` counts connections.
    """

    def __init__(self, repos: Mapping[str, Repo], *, tokens: set[str] | None = None, latency: float = 0.0) -> None:
        self.repos = dict(repos)
        self.tokens = tokens or set()
        self.fault = Fault()
        self.latency = latency
        self.opened = 0
        self.requests: list[str] = []
        self.served: Counter[str] = Counter()
        self._front, self._cdn = _Server(self), _Server(self)

    @property
    def url(self) -> str:
        return self._front.url

    @property
    def cdn(self) -> str:
        """Large files come from another origin, to which the client must not send the token."""
        return self._cdn.url

    def __enter__(self) -> FakeHub:
        self._front.thread.start()
        self._cdn.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._front.stop()
        self._cdn.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class _Refusal(Exception):  # noqa: N818
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.hub.opened += 1

    @property
    def hub(self) -> FakeHub:
        assert isinstance(self.server, _Server)
        return self.server.hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.requests.append(f"{self.command} /{path}")
        time.sleep(self.hub.latency)
        try:
            self._route(path)
        except _Refusal as refusal:
            self._send(refusal.status, b'{"error": "refused"}', refusal.headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815

    def _route(self, path: str) -> None:
        if path.startswith("api/models/"):
            self._api(path.removeprefix("api/models/").split("/"))
        elif path.startswith("cdn/"):
            assert "Authorization" not in self.headers
            self._body(self._content(path.removeprefix("cdn/")), {})
        elif "/resolve/" in path:
            name, _, rest = path.partition("/resolve/")
            revision, _, file = rest.partition("/")
            self._file(name, revision, file)
        else:
            self._send(200, b"<html></html>", {"Content-Type": "text/html"})

    def _api(self, parts: list[str]) -> None:
        name, action, revision = "/".join(parts[:2]), parts[2:3], "/".join(parts[3:]) or "main"
        repo = self._repo(name)
        commit = self._commit(repo, revision)
        if action == ["tree"]:
            self._json([{"type": "file", "path": path} | about for path, about in repo.about.items()])
            return
        gated = "manual" if repo.readers is not None else False
        siblings = [_sibling(path, about) for path, about in repo.about.items()]
        about: dict[str, Any] = {"_id": "0", "id": name, "sha": commit, "gated": gated, "private": repo.private}
        self._json(about | {"siblings": siblings})

    def _file(self, name: str, revision: str, file: str) -> None:
        repo = self._repo(name)
        commit = self._commit(repo, revision)
        self._gate(name, repo)
        if file not in repo.files:
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        content = repo.files[file]
        about = repo.about[file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{about["oid"]}"'}
        if "lfs" in about:
            headers |= {"X-Linked-Etag": f'"{about["lfs"]["oid"]}"', "X-Linked-Size": str(len(content))}
            self._send(302, b"", headers | {"Location": f"{self.hub.cdn}/cdn/{about['lfs']['oid']}/{file}"})
        else:
            self._body(content, headers, name=file)

    def _content(self, path: str) -> Content:
        wanted, _, self._name = path.partition("/")
        found = next((repo.large[wanted] for repo in self.hub.repos.values() if wanted in repo.large), None)
        if found is None:
            raise _Refusal(403, "", "This address is not valid")
        return found

    def _repo(self, name: str) -> Repo:
        token = self._token()
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and token not in (repo.readers or set())):
            raise _Refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        return repo

    def _token(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token and token not in self.hub.tokens:
            raise _Refusal(401, "", "Invalid credentials in Authorization header")
        return token

    def _gate(self, name: str, repo: Repo) -> None:
        token = self._token()
        if repo.readers is not None and token not in repo.readers:
            raise _Refusal(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")

    def _commit(self, repo: Repo, revision: str) -> str:
        commit = repo.revisions.get(revision, revision)
        if commit not in repo.revisions.values():
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _body(self, content: Content, headers: Headers, name: str = "") -> None:
        name = name or self._name
        first, last = 0, len(content) - 1
        wanted = self.headers.get("Range")
        if wanted:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or last), last)
            headers = headers | {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        part = content[first : last + 1]
        self._head(206 if wanted else 200, len(part), headers | {"Accept-Ranges": "bytes"})
        if self.command == "GET":
            self._write(name, part)

    def _write(self, name: str, part: bytes) -> None:
        fault = self.hub.fault
        if fault.times > 0 and len(part) > fault.after:
            fault.times -= 1
            self.hub.served[name] += fault.after  # counted first: the client may be done before this thread goes on
            self.wfile.write(part[: fault.after])
            self.close_connection = True
            return
        step = 64 * 1024 if fault.pause else max(1, len(part))
        for start in range(0, len(part), step):
            piece = part[start : start + step]
            self.hub.served[name] += len(piece)
            self.wfile.write(piece)
            time.sleep(fault.pause)

    def _send(self, status: int, content: bytes, headers: Headers) -> None:
        self._head(status, len(content), headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: int, length: int, headers: Headers) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(length)}).items():
            self.send_header(key, value)
        self.end_headers()


def _sibling(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the hub's model information says of a file."""
    sibling = {"rfilename": name, "size": about["size"], "blobId": about["oid"]}
    if "lfs" in about:
        sibling["lfs"] = {"sha256": about["lfs"]["oid"], "size": about["size"], "pointerSize": 134}
    return sibling


def _about(name: str, content: Content) -> dict[str, Any]:
    """What the hub's tree says of a file: git's hash, and for large files that of the content."""
    pointer = hashlib.sha1(b"blob %d\0" % len(content) + _start(content)).hexdigest()
    about: dict[str, Any] = {"oid": pointer, "size": len(content)}
    if name.endswith(_LARGE):
        about["lfs"] = {"oid": hashlib.sha256(_start(content)).hexdigest(), "size": len(content), "pointerSize": 134}
    return about


def _start(content: Content) -> bytes:
    """What a file's hash is made from: hollow ones are known by their start."""
    return content if isinstance(content, bytes) else content.start
