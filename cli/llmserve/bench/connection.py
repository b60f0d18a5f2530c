"""A non-blocking connection that says when the kernel received what it reads."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmserve.bench.exchange import Exchange

__all__ = ["ANCILLARY", "READ", "Connection", "Target", "resolve", "stamp_of", "timespec"]

SO_TIMESTAMPNS = 35  # of Linux on every architecture that CPython supports there; Python has no name for it
READ = 16384
ANCILLARY = socket.CMSG_SPACE(16)

timespec = struct.Struct("@ll").unpack


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where connections lead: a socket address, and the TLS context and name for https."""

    family: socket.AddressFamily
    address: Any
    host: str
    tls: ssl.SSLContext | None = None


def resolve(host: str, port: int, *, tls: bool, connect_timeout: float = 10.0) -> Target:
    """Look ``host`` up once and take its first address that accepts a connection.

    Raises:
        OSError: none does; the error of the last one.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    last: OSError = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    for family, _, _, _, address in found:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.settimeout(connect_timeout)
                trial.connect(address)
        except OSError as error:
            last = error
            continue
        context = ssl.create_default_context() if tls else None
        return Target(family=socket.AddressFamily(family), address=address, host=host, tls=context)
    raise last


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """When the kernel received it, in nanoseconds of the realtime clock; 0 if it does not say."""
    if ancillary:  # nothing else was asked for
        seconds, nanoseconds = timespec(ancillary[0][2])
        return int(seconds * 1_000_000_000 + nanoseconds)
    return 0


class Connection:
    """``exchange`` is what it carries now. ``plain`` means: ready, and without TLS, so reads may be taken as they are.

    Methods that touch the network raise OSError (ssl.SSLError is one).
    """

    __slots__ = (
        "_failed", "_in", "_out", "began_ns", "exchange", "fd", "plain", "ready", "recvmsg", "served",
        "sock", "tls", "to_send", "wants_write",
    )  # fmt: skip

    def __init__(self, target: Target, now_ns: int) -> None:
        self.sock = socket.socket(target.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _ask_for_stamps(self.sock)
            self._failed = self.sock.connect_ex(target.address)  # told by advance(), as what comes later is
        except OSError:
            self.sock.close()
            raise
        self.fd = self.sock.fileno()
        self.recvmsg: Callable[[int, int], tuple[bytes, list[tuple[int, int, bytes]], int, Any]] = self.sock.recvmsg
        self.exchange: Exchange | None = None
        self.began_ns = now_ns
        self.served = 0
        self.ready = self.plain = False
        self.wants_write = True
        self.to_send: memoryview | bytes = b""
        self.tls: ssl.SSLObject | None = None
        if target.tls:
            self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = target.tls.wrap_bio(self._in, self._out, server_hostname=target.host)

    def advance(self) -> bool:
        """Go on with connecting after an event; True when requests can be sent."""
        code = self._failed if self._failed not in (0, errno.EINPROGRESS) else 0
        code = code or self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if not self._connected():
            return False
        if self.tls is None:
            self.ready = self.plain = True
            return True
        self._flush()
        if not self._fill():
            raise ConnectionResetError(errno.ECONNRESET, "the connection was closed during the TLS handshake")
        try:
            self.tls.do_handshake()
            self.ready = True
        except ssl.SSLWantReadError:
            pass
        finally:
            self._flush()
        return self.ready

    def _connected(self) -> bool:
        """An event may have been meant for an earlier connection of the same descriptor."""
        try:
            self.sock.getpeername()
        except OSError:
            return False
        return True

    def _fill(self) -> bool:
        """Give what has arrived to TLS; False at the end of the stream."""
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                return True
            raise
        self._in.write(data)
        return bool(data)

    def send(self, payload: memoryview) -> None:
        """Begin to write a request."""
        if self.tls:
            self.tls.write(payload)
            self._flush()
        else:
            self.to_send = payload
            self.push()

    def push(self) -> None:
        """Write what is left, as far as the kernel takes it; ``wants_write`` says whether something remains."""
        try:
            while self.to_send:
                self.to_send = self.to_send[self.sock.send(self.to_send) :]
        except BlockingIOError:
            self.wants_write = True
            return
        self.wants_write = False

    def _flush(self) -> None:
        self.to_send = bytes(self.to_send) + self._out.read()
        self.push()

    def opened(self, data: bytes) -> tuple[bytes, bool]:
        """The plain text of encrypted ``data``, and whether the peer ended the stream."""
        assert self.tls
        self._in.write(data)
        pieces = []
        try:
            while piece := self.tls.read(READ):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            if self._out.pending:
                self._flush()
            return b"".join(pieces), False
        except ssl.SSLZeroReturnError:
            pass
        return b"".join(pieces), True

    def close(self) -> None:
        self.sock.close()


def _ask_for_stamps(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:  # the loop sees that no stamps come, and says so
        return
