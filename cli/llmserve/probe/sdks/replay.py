"""Answers recorded bytes: each exchange at an address of its own, whatever is asked there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from llmserve.probe.exchange import Exchange

__all__ = ["Replay"]

_LEFT_OUT = ("content-length", "transfer-encoding", "content-encoding", "connection", "location", "set-cookie")


class Replay:
    """A server on the loopback; ``url(3)`` is the base URL at which the exchange number 3 is answered."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.exchanges = list(exchanges)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{number}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    exchanges: list[Exchange]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An SDK that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 20
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number = self.path.split("/")[1]
        self.close_connection = True
        with contextlib.suppress(OSError, ValueError, IndexError):
            self._send(self.server.exchanges[int(number)])

    do_GET = do_POST  # noqa: N815 - the library's name

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def _send(self, made: Exchange) -> None:
        """In one chunk; a recording that was cut short ends without the last chunk."""
        lines = [f"HTTP/1.1 {made.status or 502} Recorded"]
        lines += [f"{name}: {value}" for name, value in made.headers if name.lower() not in _LEFT_OUT]
        lines += ["Connection: close", "Transfer-Encoding: chunked", "", ""]
        body = b"%x\r\n%b\r\n" % (len(made.body), made.body) if made.body else b""
        self.wfile.write("\r\n".join(lines).encode("latin-1", "replace") + body + (b"" if made.error else b"0\r\n\r\n"))
