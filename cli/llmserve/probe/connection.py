"""One HTTP/1.1 connection, by hand: what is sent and what comes back are known to the byte.

No library stands between, because a library mends what it can: it unpacks, retries, follows redirects and hides framing
faults. Nothing here raises for what a server does: whatever comes back, and if it is nothing, is an ``Exchange``.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from llmserve.probe.body import Body, UnpackError, framed
from llmserve.probe.exchange import Exchange, Limits, Request
from llmserve.probe.proxy import Proxy
from llmserve.probe.reader import Closed, Reader, TooLate, TooLong

__all__ = ["Connection", "Target", "exchange"]

MAX_HEADERS = 200
MAX_INTERIM = 20
_STATUS = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9]{2})(?: (.*))?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Target:
    """Where a base URL leads. ``path`` has no slash at its end."""

    host: str
    port: int
    tls: bool
    path: str
    proxy: Proxy | None = None

    @classmethod
    def of(cls, base_url: str) -> Target:
        parts = urlsplit(base_url)
        tls = parts.scheme == "https"
        port, path = parts.port or (443 if tls else 80), parts.path.rstrip("/")
        return cls(parts.hostname or "", port, tls, path, Proxy.on_the_way(base_url))

    @property
    def forwarded(self) -> Proxy | None:
        """The proxy that is asked for each request by its whole address; for TLS it opens a tunnel instead."""
        return None if self.tls else self.proxy

    @property
    def authority(self) -> str:
        """What stands in the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Connection:
    """A connection that can carry several exchanges, if the server keeps it; a context manager."""

    def __init__(self, target: Target, *, connect_s: float = 10.0) -> None:
        self.target = target
        self._connect_s = connect_s
        self._socket: socket.socket | None = None
        self.reusable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket, self.reusable = None, False

    def hang_up(self) -> None:
        """End what is in flight, from another thread."""
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def exchange(self, request: Request, limits: Limits) -> Exchange:
        """Send ``request`` over this connection (opened if it is not) and read the answer."""
        reused = self._socket is not None
        try:
            stream = self._socket or self._open()
        except (OSError, ValueError) as error:
            kind, detail = _why(error)
            return Exchange(request=request, error=kind, detail=detail)
        self.reusable = False
        began = time.monotonic()
        fault = self._send(stream, request, limits)
        answer = self._receive(Reader(stream, limits), request, limits, began)
        if answer.status is None and fault:
            answer = replace(answer, error="cut", detail=f"the request could not be sent: {fault}")
        if not self.reusable:
            self.close()
        return replace(answer, reused=reused)

    def _open(self) -> socket.socket:
        proxy = self.target.proxy
        first = (proxy.host, proxy.port) if proxy else (self.target.host, self.target.port)
        plain = socket.create_connection(first, timeout=self._connect_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = plain
        if self.target.tls:
            try:
                if proxy:
                    proxy.tunnel(plain, self.target.host, self.target.port, self._connect_s)
                    plain.settimeout(self._connect_s)
                self._socket = _tls_context().wrap_socket(plain, server_hostname=self.target.host)
            except BaseException:
                self.close()
                raise
        return self._socket

    def _send(self, stream: socket.socket, request: Request, limits: Limits) -> str:
        stream.settimeout(min(limits.total_s, limits.idle_s))
        try:
            stream.sendall(_head(request, self.target) + request.body)
        except OSError as error:  # a server may answer and close before it has read a large body
            return _why(error)[1]
        return ""

    def _receive(self, reader: Reader, request: Request, limits: Limits, began: float) -> Exchange:
        answer = Exchange(request=request)
        body = Body(began, limits)
        error = detail = ""
        try:
            answer = _final_head(reader, request)
            reader.begun()
            body = Body(began, limits, coding=answer.header("content-encoding").strip().lower())
            self.reusable = self._read_body(reader, answer, body)
        except TooLate as late:
            error, detail = self._late(late, body)
        except Closed:
            error, detail = "cut", "the connection was closed before the end of the answer"
        except TooLong:
            error, detail = (
                "too_large",
                "a line of the head has no end" if answer.status is None else (f"more than {limits.max_bytes:,} bytes"),
            )
        except UnpackError as broken:
            error, detail = "coding", str(broken)
        except _NotHttpError as strange:
            error, detail = "not_http", str(strange)
        except OSError as broken_network:
            error, detail = _why(broken_network)
        return replace(
            answer, body=bytes(body.content), arrivals=tuple(body.arrivals), took_s=time.monotonic() - began,
            error=error, detail=detail, faults=(*answer.faults, *body.faults), left=body.enough,
        )  # fmt: skip

    def _read_body(self, reader: Reader, answer: Exchange, body: Body) -> bool:
        if answer.request.method == "HEAD" or answer.status in (101, 204, 304):
            return answer.status != 101
        chunked = "chunked" in answer.header("transfer-encoding").lower()
        lengths = {value.strip() for name, value in answer.headers if name.lower() == "content-length"}
        if chunked and lengths:
            body.faults.append("both Content-Length and Transfer-Encoding")
        if len(lengths) > 1:
            raise _NotHttpError("Content-Length stands there twice, with two values")
        length = lengths.pop() if lengths and not chunked else None
        if length is not None and not (length.isascii() and length.isdigit()):
            raise _NotHttpError(f"{length!r} is no Content-Length")
        whole = framed(reader, body, length=int(length[:15]) if length else None, chunked=chunked)
        if whole and reader.waiting:
            body.faults.append("bytes follow the end of the answer")
        closing = answer.header("connection").lower() == "close" or answer.version == "HTTP/1.0"
        return whole and not closing and not reader.waiting

    @staticmethod
    def _late(late: TooLate, body: Body) -> tuple[str, str]:
        if body.done:
            body.faults.append("the connection stays open after [DONE]")
            return "", ""
        return late.kind, "no end within the time allowed" if late.kind == "timeout" else "silence"


class _NotHttpError(Exception):
    pass


def exchange(target: Target, request: Request, limits: Limits) -> Exchange:
    """One exchange over a connection of its own."""
    with Connection(target, connect_s=limits.connect_s) as connection:
        return connection.exchange(request, limits)


def _head(request: Request, target: Target) -> bytes:
    names = {name.lower() for name, _ in request.headers}
    headers = [("Host", target.authority), *request.headers]
    address = request.target
    if target.forwarded:
        headers += target.forwarded.credentials
        address = f"http://{target.authority}{request.target}"
    framed_already = names & {"content-length", "transfer-encoding"}
    if not framed_already and (request.body or request.method in ("POST", "PUT", "PATCH")):
        headers.append(("Content-Length", str(len(request.body))))
    lines = [f"{request.method} {address} {request.version}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _final_head(reader: Reader, request: Request) -> Exchange:
    for _ in range(MAX_INTERIM):
        answer = _one_head(reader, request)
        if answer.status is None or answer.status >= 200 or answer.status == 101:
            return answer
    raise _NotHttpError(f"more than {MAX_INTERIM} interim answers")


def _one_head(reader: Reader, request: Request) -> Exchange:
    first = reader.line()
    found = _STATUS.fullmatch(first.rstrip(b"\r"))
    if not found:
        raise _NotHttpError(f"the answer begins with {first[:40]!r}")
    faults = [] if first.endswith(b"\r") else ["lines of the head end in a bare line feed"]
    headers: list[tuple[str, str]] = []
    while line := reader.line().rstrip(b"\r"):
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            faults.append(f"{line[:40]!r} is no header")
            continue
        headers.append((name.decode("ascii"), value.strip().decode("latin-1")))
        if len(headers) > MAX_HEADERS:
            raise _NotHttpError(f"more than {MAX_HEADERS} headers")
    return Exchange(
        request=request, status=int(found[2]), version=found[1].decode("ascii"), headers=tuple(headers),
        faults=tuple(faults),
    )  # fmt: skip


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _why(error: Exception) -> tuple[str, str]:
    """The kind of a failed connection, and its sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls", f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "tls", (error.reason or "handshake failed").replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "unknown_host", "the host is unknown"
    if isinstance(error, TimeoutError):
        return "connect_timeout", "no connection in time"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "nothing listens there"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "network", str(text)
