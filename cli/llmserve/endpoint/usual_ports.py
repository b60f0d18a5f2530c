"""Servers that somebody started on this machine without llmserve, at the ports where such servers usually listen."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Thread

from llmserve.endpoint import wire

__all__ = ["USUAL", "Listener", "listeners"]

USUAL = (("SGLang", 30000), ("vLLM", 8000), ("Ollama", 11434), ("llama.cpp", 8080), ("LM Studio", 1234))

_CONNECT = 0.25  # seconds; a port of this machine answers at once or is filtered
_ANSWER = 1.5
_MOST = 4 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Listener:
    """An OpenAI-compatible API at a usual port: whose port it is, and what it serves (empty if it wants a key)."""

    usual: str
    url: str
    models: tuple[str, ...] = ()
    locked: bool = False


def listeners(usual: Iterable[tuple[str, int]] | None = None, *, host: str = "127.0.0.1") -> list[Listener]:
    """Who listens, in the order of ``usual`` (else :data:`USUAL`).

    All ports are asked at the same time, two seconds at most. No key is sent: it is that of another place. What
    listens and is no such API (port 8000 is everybody's) is left out.
    """
    places = [
        (name, port, sock) for name, port in (USUAL if usual is None else usual) if (sock := _connected(host, port))
    ]
    found: dict[int, Listener] = {}

    def ask(name: str, port: int, sock: socket.socket) -> None:
        if listener := _ask(name, f"{host}:{port}", sock):
            found[port] = listener

    threads = [Thread(target=ask, args=place, daemon=True) for place in places]
    ends = time.monotonic() + _ANSWER
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))  # a server that drips its answer is not waited for
    return [found[port] for _, port, _ in places if port in found]


def _connected(host: str, port: int) -> socket.socket | None:
    """A refusal takes microseconds, so these need no thread of their own."""
    try:
        return socket.create_connection((host, port), timeout=_CONNECT)
    except OSError:
        return None


def _ask(name: str, place: str, sock: socket.socket) -> Listener | None:
    """``GET /v1/models`` by hand: importing an HTTP client costs more than the question."""
    with sock:
        try:
            sock.settimeout(_ANSWER)
            sock.sendall(f"GET /v1/models HTTP/1.0\r\nHost: {place}\r\nAccept: application/json\r\n\r\n".encode())
            head, _, body = _all(sock).partition(b"\r\n\r\n")
        except OSError:
            return None
    status = head.split(b" ", 2)[1:2]
    if status and status[0] in (b"401", b"403"):
        return Listener(usual=name, url=f"http://{place}/v1", locked=True)
    models = _models(body) if status == [b"200"] else None
    return None if models is None else Listener(usual=name, url=f"http://{place}/v1", models=models)


def _all(sock: socket.socket) -> bytes:
    received = bytearray()
    while len(received) < _MOST and (piece := sock.recv(65536)):
        received += piece
        if _complete(received):
            break
    return bytes(received)


def _complete(received: bytearray) -> bool:
    """Whether the body is as long as its header said: some servers keep the connection all the same."""
    head, blank, body = received.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:] if blank else ():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return False


def _models(body: bytes) -> tuple[str, ...] | None:
    start, end = body.find(b"{"), body.rfind(b"}")  # whatever chunk sizes stand around it
    try:
        data = wire.load(body[start : end + 1].decode("utf-8", "replace"))
    except ValueError:
        return None
    served = wire.models(data) if isinstance(data, dict) and "data" in data else None
    return None if served is None else tuple(model.id for model in served)
