"""The proxy on the way to an endpoint, as the environment names it: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from llmserve import proxies

__all__ = ["Proxy", "ProxyRefusedError"]

MAX_HEAD = 16 * 1024


class ProxyRefusedError(OSError):
    """The proxy does not let the connection through; ``strerror`` says why."""

    def __init__(self, said: str) -> None:
        super().__init__(0, f"the proxy refuses: {said}")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy. ``credentials`` are the headers that it wants to see, if any; they go to nobody else."""

    host: str
    port: int
    credentials: tuple[tuple[str, str], ...] = ()

    @classmethod
    def on_the_way(cls, base_url: str) -> Self | None:
        """The one for ``base_url``; None on the loopback, for hosts in NO_PROXY, and where none is named.

        Raises:
            UsageError: it is of a kind that this does not speak, such as socks5.
        """
        address = proxies.proxy_of(urlsplit(base_url))
        if not address:
            return None
        parts = urlsplit(address)
        return cls(parts.hostname or "", parts.port or 80, tuple(proxies.credentials(parts).items()))

    def tunnel(self, connection: socket.socket, host: str, port: int, seconds: float) -> None:
        """Make ``connection``, which leads to the proxy, lead to ``host``.

        Raises:
            ProxyRefusedError: it does not want to.
            TimeoutError: it does not say in time whether it wants to.
        """
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        lines += [f"{name}: {value}" for name, value in self.credentials]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
        head = self._head(connection, time.monotonic() + seconds)
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].startswith("2"):
            raise ProxyRefusedError(" ".join(words[1:])[:80] or "no HTTP answer")

    @staticmethod
    def _head(connection: socket.socket, deadline: float) -> bytes:
        """The answer up to its empty line, byte by byte: what follows belongs to TLS."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            piece = connection.recv(1)
            if not piece or len(head) > MAX_HEAD:
                raise ProxyRefusedError("the connection was closed" if not piece else "its answer has no end")
            head += piece
        return head
