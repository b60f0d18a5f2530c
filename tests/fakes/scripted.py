"""A server that answers as a test says: for hubs that are none, proxies, and networks that swallow everything."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass(frozen=True)
class Request:
    """``path`` as it was sent: whole addresses reach a proxy."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """``body``: bytes, or what becomes JSON. ``endless`` goes on sending blanks until the client leaves."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Scripted:
    """A server on loopback and what it was asked for."""

    url: str
    requests: list[Request]


@contextmanager
def scripted(script: Callable[[Request], Answer], *, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            request = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
            requests.append(request)
            answer = script(request)
            self.send_response(answer.status)
            length = {} if answer.endless else {"Content-Length": str(len(answer.content))}
            for key, value in (answer.headers | length).items():
                self.send_header(key, value)
            self.end_headers()
            try:
                self.wfile.write(answer.content)
                while answer.endless:
                    self.wfile.write(b" " * 65536)
            except OSError:
                self.close_connection = True

        do_HEAD = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Scripted(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}", requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of a hub that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def about(repo: str = "org/x", **fields: Any) -> dict[str, Any]:
    """What a hub says of a repository with one small file."""
    usual = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": 2, "blobId": "0" * 40}]}
    return usual | fields
