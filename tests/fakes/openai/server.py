"""The sockets: HTTP/1.1 in threads, keep-alive, chunks, gzip on request, and bytes that break all of it."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tests.fakes.openai.answer import Answer, Json, Request, encode_event
from tests.fakes.openai.app import App
from tests.fakes.openai.deviation import Deviation
from tests.fakes.openai.settings import Settings

__all__ = ["FakeOpenAI"]


class FakeOpenAI:
    """The server on a free port of the loopback. ``url`` ends in /v1; ``requests`` is what arrived.

    ``deviation`` is what it does differently from OpenAI, changed at any time between two requests. ``broken`` tells
    of deviations that failed to be made.
    """

    def __init__(
        self, settings: Settings | None = None, *, deviation: Deviation | None = None, tls: Any = None
    ) -> None:
        self.settings = settings or Settings()
        self.deviation = deviation
        self.requests: list[Request] = []
        self.broken: list[str] = []
        self.stopping = threading.Event()
        self._app = App(self.settings)
        self._numbers = itertools.count(1)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.fake = self
        self.host = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.host}/v1"

    @property
    def key(self) -> str | None:
        return self.settings.key

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.close_all()
        self._server.server_close()
        self._thread.join()

    def become(self, settings: Settings, deviation: Deviation | None = None) -> None:
        """Another server at the same address, with nothing stored."""
        self.settings, self.deviation = settings, deviation
        self._app = App(settings)
        self.requests.clear()
        self.broken.clear()

    def answer(self, request: Request) -> Answer:
        request = replace(request, number=next(self._numbers))
        self.requests.append(request)
        deviation = self.deviation
        asked = deviation.ask(request) if deviation and deviation.ask else request
        given = self._app.answer(asked)
        try:
            return deviation.answer(request, given) if deviation and deviation.answer else given
        except Exception as error:  # a deviation that cannot be made is a fault of the test
            self.broken.append(f"{deviation and deviation.name}: {type(error).__name__}: {error}")
            raise


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    fake: FakeOpenAI

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request_thread(request, client_address)
        with self._lock:
            self._open.discard(request)

    def close_all(self) -> None:
        """End what is still open, so that no thread waits for a client that keeps its connection."""
        with self._lock:
            for request in self._open:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 20
    server: _Server

    def do_POST(self) -> None:
        self._answer()

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def _answer(self) -> None:
        request = self._read()
        with contextlib.suppress(OSError):
            self._send(request, self.server.fake.answer(request))
            return
        self.close_connection = True

    def _read(self) -> Request:
        length = self.headers.get("Content-Length") or "0"
        chunked = "chunked" in (self.headers.get("Transfer-Encoding") or "").lower()
        body = self._read_chunks() if chunked else self.rfile.read(int(length)) if length.isdigit() else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(
            method=self.command, path=urlsplit(self.path).path, headers=headers, body=body, json=_object(body)
        )

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, request: Request, answer: Answer) -> None:
        if answer.whole is not None:
            self.close_connection = True
            self._send_whole(answer.whole)
        elif answer.pieces is not None or answer.events is not None:
            pieces = (
                answer.pieces if answer.pieces is not None else [encode_event(event) for event in answer.events or []]
            )
            self._send_stream(request, answer, pieces)
        else:
            self._send_body(request, answer)

    def _send_whole(self, pieces: Iterable[bytes | float]) -> None:
        """Bytes as they stand; numbers are pauses in seconds, endless ones until the client leaves."""
        for piece in pieces:
            if isinstance(piece, bytes):
                self.wfile.write(piece)
            elif self.server.fake.stopping.wait(piece):
                return

    def _send_body(self, request: Request, answer: Answer) -> None:
        raw = answer.raw if answer.raw is not None else json.dumps(answer.body, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )  # fmt: skip
        headers: dict[str, str | None] = {"Content-Type": "application/json"} if answer.raw is None else {}
        if _zips(request) and raw and answer.raw is None:
            raw, headers["Content-Encoding"] = gzip.compress(raw, 1), "gzip"
        if answer.status != 204:
            headers["Content-Length"] = str(len(raw))
        self.wfile.write(self._head(answer, headers) + (b"" if request.method == "HEAD" else raw))

    def _send_stream(self, request: Request, answer: Answer, pieces: Sequence[bytes]) -> None:
        old = self.request_version == "HTTP/1.0"
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        headers |= {"Connection": "close"} if old else {"Transfer-Encoding": "chunked"}
        press = zlib.compressobj(1, zlib.DEFLATED, 31) if _zips(request) else None
        if press:
            headers["Content-Encoding"] = "gzip"
        self.wfile.write(self._head(answer, headers))
        for piece in filter(None, pieces):
            sent = press.compress(piece) + press.flush(zlib.Z_SYNC_FLUSH) if press else piece
            self.wfile.write(sent if old else b"%x\r\n%b\r\n" % (len(sent), sent))
        if press and (rest := press.flush()):
            self.wfile.write(rest if old else b"%x\r\n%b\r\n" % (len(rest), rest))
        if old:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _head(self, answer: Answer, headers: dict[str, Any]) -> bytes:
        given = {name.lower(): name for name in answer.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in given}
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('',))[0]}", "Server: fake"]
        lines += [f"{name}: {value}" for name, value in (headers | dict(answer.headers)).items() if value]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _zips(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def _object(body: bytes) -> Json:
    try:
        data = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
