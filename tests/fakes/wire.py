"""A server of bytes: what it sends is written down to the last one, HTTP or not.

    with wire(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi") as server:
        exchange(Target.of(server.url), request, limits)

Each request is answered with the next script (the last one stays). A script is bytes, or pieces: bytes are sent, STAY
waits until the client leaves, FOREVER repeats what follows it until then. At the end of a script the connection closes.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["FOREVER", "STAY", "Wire", "wire"]


class _Mark:
    pass


STAY = _Mark()
FOREVER = _Mark()
Script = bytes | Sequence[bytes | _Mark]


@dataclass
class Wire:
    """``requests`` are the bytes of each request as they came."""

    url: str
    requests: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def wire(*scripts: Script) -> Iterator[Wire]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = Wire(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        turns = itertools.count()
        threads: list[threading.Thread] = []
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                script = scripts[min(next(turns), len(scripts) - 1)]
                thread = threading.Thread(target=_serve, args=(connection, script, seen, stop), daemon=True)
                thread.start()
                threads.append(thread)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield seen
        finally:
            stop.set()
            with contextlib.suppress(OSError):
                socket.create_connection(listener.getsockname(), timeout=5).close()  # wakes accept()
            for thread in [accepting, *threads]:
                thread.join(10)


def _serve(connection: socket.socket, script: Script, seen: Wire, stop: threading.Event) -> None:
    with connection, contextlib.suppress(OSError):
        connection.settimeout(0.05)
        request = _request(connection, stop)
        if not request:
            return
        seen.requests.append(request)
        pieces: list[bytes | _Mark] = [script] if isinstance(script, bytes) else list(script)
        if FOREVER in pieces:
            start = pieces.index(FOREVER)
            endless = itertools.cycle(pieces[start + 1 :])
            for piece in itertools.chain(pieces[:start], endless):
                if stop.is_set():
                    return
                assert isinstance(piece, bytes)
                _send(connection, piece, stop)
        for piece in pieces:
            if isinstance(piece, bytes):
                _send(connection, piece, stop)
            else:
                _until_left(connection, stop)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        _until_left(connection, stop)  # an early close would reset what the client has not read yet


def _request(connection: socket.socket, stop: threading.Event) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = _receive(connection, stop)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (piece := _receive(connection, stop)):
        body += piece
    return head + b"\r\n\r\n" + body


def _receive(connection: socket.socket, stop: threading.Event) -> bytes:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            return connection.recv(65536)
    return b""


def _send(connection: socket.socket, piece: bytes, stop: threading.Event) -> None:
    left = memoryview(piece)
    while left and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            left = left[connection.send(left) :]


def _until_left(connection: socket.socket, stop: threading.Event) -> None:
    while _receive(connection, stop):
        pass
