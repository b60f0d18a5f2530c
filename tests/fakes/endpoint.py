"""A scripted HTTP server for tests of everything that talks to an endpoint.

    with FakeEndpoint({"/v1/models": models("tiny"), "/v1/chat/completions": stream("Hel", "lo")}) as fake:
        Client(Endpoint(base_url=fake.url)) ...
        assert fake.requests[-1].json["stream"] is True

A route answers with one Reply, with each of a list in turn (the last one stays), or with what a function of the
request returns. Replies with ``pieces`` are sent in HTTP chunks: bytes as they are, numbers are pauses in seconds,
CUT drops the connection, and a number below zero waits until the client hangs up.
"""

from __future__ import annotations

import contextlib
import json
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = [
    "CUT", "DONE", "FakeEndpoint", "Reply", "Route", "Seen", "chunk", "completion", "error", "event", "models",
    "stream", "usage",
]  # fmt: skip


class Cut:
    """The connection ends here."""


CUT = Cut()
Piece = bytes | float | int | Cut


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """``body`` is sent with its length, ``pieces`` in chunks; a body that is no bytes is sent as JSON."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = b""
    pieces: Sequence[Piece] | None = None


Route = Reply | Sequence[Reply] | Callable[[Seen], Reply]


class FakeEndpoint:
    """The server, on a free port of the loopback, in threads of its own. ``url`` ends in /v1.

    ``hung_up`` is set when a client closed its connection while a reply was being sent.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = dict(routes)
        self.requests: list[Seen] = []
        self.hung_up = threading.Event()
        self.stopping = threading.Event()
        self._served: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self.host = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.host}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def reply(self, seen: Seen) -> Reply:
        with self._lock:
            self.requests.append(seen)
            route = self.routes.get(seen.path, Reply(status=404, body={"detail": "Not Found"}))
            turn = self._served[seen.path] = self._served.get(seen.path, -1) + 1
        if isinstance(route, Reply):
            return route
        return route(seen) if callable(route) else route[min(turn, len(route) - 1)]


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # joined on close, so that no test leaves a thread
    fake: FakeEndpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's signature
        """Nothing is printed."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        reply = self.server.fake.reply(seen)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._send_pieces(reply, reply.pieces) if reply.pieces is not None else self._send_body(reply)
            return
        self.server.fake.hung_up.set()

    def _head(self, reply: Reply, extra: Mapping[str, str]) -> None:
        self.send_response(reply.status)
        for name, value in ({"Connection": "close"} | dict(extra) | dict(reply.headers)).items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, reply: Reply) -> None:
        plain = isinstance(reply.body, bytes)
        body = reply.body if plain else json.dumps(reply.body).encode()
        kind = {} if plain else {"Content-Type": "application/json"}
        self._head(reply, {"Content-Length": str(len(body)), **kind})
        self.wfile.write(body)

    def _send_pieces(self, reply: Reply, pieces: Sequence[Piece]) -> None:
        self._head(reply, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for piece in pieces:
            if isinstance(piece, Cut):
                return
            if isinstance(piece, bytes):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                self._pause(piece)
        self.wfile.write(b"0\r\n\r\n")

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + (seconds if seconds >= 0 else 60)
        while time.monotonic() < ends and not self.server.fake.stopping.is_set():
            ready, _, _ = select.select([self.connection], [], [], 0.01)
            if ready:
                raise ConnectionResetError  # nothing more was to come: the client hung up


def event(data: Any) -> bytes:
    """One server-sent event with ``data`` as JSON."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def chunk(content: str | None = None, *, finish_reason: str | None = None, **delta: Any) -> bytes:
    """A ``chat.completion.chunk`` as an event."""
    said = ({} if content is None else {"content": content}) | delta
    choice = {"index": 0, "delta": said, "finish_reason": finish_reason}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "tiny", "choices": [choice]})


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def stream(*texts: str, finish_reason: str | None = "stop", tokens: dict[str, Any] | None = None) -> Reply:
    """A good streamed answer: role, texts, finish reason, the usage chunk if ``tokens``, and [DONE]."""
    counted = [event({"id": "c1", "choices": [], "usage": tokens})] if tokens else []
    said = [chunk(text) for text in texts]
    return Reply(pieces=[chunk("", role="assistant"), *said, chunk(finish_reason=finish_reason), *counted, DONE])


def completion(content: str | None, *, tokens: dict[str, Any] | None = None, **message: Any) -> Reply:
    """A good answer that is not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    return Reply(body={"id": "c1", "object": "chat.completion", "model": "tiny", "choices": [choice], "usage": tokens})


def models(*ids: str) -> Reply:
    """A good ``/models``."""
    return Reply(body={"object": "list", "data": [{"id": name, "object": "model", "owned_by": "x"} for name in ids]})


def error(status: int, message: str, *, type: str = "error", code: Any = None, **headers: str) -> Reply:  # noqa: A002
    """A refusal in OpenAI's envelope."""
    body = {"error": {"message": message, "type": type, "param": None, "code": code}}
    return Reply(status=status, body=body, headers=headers)
