"""As much of HTTP/1.1 as a hub needs, in few instructions: what is measured is the client, not this."""

from __future__ import annotations

import os
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.hub_content import Content, pieces, zeros
from tests.fakes.hub_faults import Fault

Headers = dict[str, str]
PIECE = 1024**2


class Owner(Protocol):
    """The hub behind a server."""

    latency: float
    stopped: threading.Event
    wrongs: list[BaseException]
    sent: list[tuple[str, int, int]]
    rate: float | None

    def opens(self) -> None: ...
    def count(self, name: str, size: int) -> None: ...
    def pace(self, size: int) -> None: ...
    def now(self) -> float: ...
    def answer(self, exchange: Exchange) -> None: ...


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, owner: Owner) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.owner = owner
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):  # those are clients that went away
            self.owner.wrongs.append(error)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class Exchange(socketserver.StreamRequestHandler):
    """One connection; its attributes are those of the request that is being answered."""

    disable_nagle_algorithm = True
    rbufsize = 65536
    method: str
    path: str
    query: dict[str, str]
    headers: Headers
    open: bool

    @property
    def hub(self) -> Owner:
        assert isinstance(self.server, Server)
        return self.server.owner

    @property
    def origin(self) -> str:
        assert isinstance(self.server, Server)
        return self.server.url

    def handle(self) -> None:
        self.hub.opens()
        self.open = True
        try:
            while self.open and self._read() and not self.hub.stopped.is_set():
                time.sleep(self.hub.latency)
                self.hub.answer(self)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass

    def _read(self) -> bool:
        words = self.rfile.readline(65536).decode("latin-1").split()
        if len(words) != 3:
            return False
        self.method, target, _ = words
        parts = urlsplit(target)
        self.path = unquote(parts.path).strip("/")
        self.query = dict(parse_qsl(parts.query))
        self.headers = {}
        while line := self.rfile.readline(65536).strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        return True

    def send(self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """A short answer, in one packet."""
        head = _head(status, dict(headers or {}) | {"Content-Length": str(len(content))})
        self.request.sendall(head if self.method == "HEAD" else head + content)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.request.sendall(_head(status, headers))

    def write(self, name: str, content: Content, first: int, end: int, pacing: Fault | None = None) -> None:
        """Bytes of a file, counted under its name when the network has taken them."""
        position = first
        for piece in pieces(content, first, end, pacing.piece if pacing else 16384 if self.hub.rate else PIECE):
            self.hub.pace(piece if isinstance(piece, int) else len(piece))
            done, whole = 0, piece if isinstance(piece, int) else len(piece)
            self.hub.count(name, whole)  # first: the client may be done before this thread goes on
            try:
                while done < whole:
                    done += self._zeros(whole - done) if isinstance(piece, int) else self.request.send(piece[done:])
            finally:
                self.hub.count(name, done - whole)
                self.hub.sent.append((name, position, position + done))
            position += whole
            if pacing and self.hub.stopped.wait(pacing.pause):
                raise BrokenPipeError

    def _zeros(self, count: int) -> int:
        return os.sendfile(self.request.fileno(), zeros(), 0, count)

    def date(self, later: float = 0.0) -> str:
        """The hub's clock, so many seconds ``later``."""
        return formatdate(self.hub.now() + later, usegmt=True)

    def reset(self) -> None:
        """End the connection with a TCP reset, so that even what is on its way is lost."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.open = False
        self.request.close()

    def hang(self) -> None:
        """Say nothing more until the client goes away or the hub ends."""
        self.request.settimeout(0.05)
        self.open = False
        while not self.hub.stopped.is_set():
            try:
                if not self.request.recv(1):
                    return
            except TimeoutError:
                continue


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
