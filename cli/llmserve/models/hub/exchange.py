"""HTTP for file bodies: connections of one thread, kept open, whose bytes go straight into the caller's memory.

The standard library's client, since a body of gigabytes should cross as few hands as can be. TLS trusts whom the hub's
other requests trust; HTTPS_PROXY and NO_PROXY hold here too, and this machine is never reached through a proxy.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from llmserve import proxies
from llmserve.models.hub import connection, download_errors
from llmserve.models.hub.body import BROKEN, Answer, EndedEarlyError
from llmserve.models.hub.patience import Hiccup, Patience

_KEPT = 4  # connections of a thread: a hub, and the places to which it sends

_LAST = 0.1  # seconds in which what has come by the end is still taken


class Cancelled(Exception):  # noqa: N818 - the download is to end
    pass


class Trust:
    """The TLS context of a download, made when it is first needed."""

    @cached_property
    def context(self) -> ssl.SSLContext:
        return connection.trusted()


class Client:
    """Connections of one thread. ``abort`` and ``expire`` may be called by another one."""

    def __init__(self, patience: Patience, trust: Trust) -> None:
        self.patience = patience
        self._trust = trust
        self._kept: dict[tuple[str, str], http.client.HTTPConnection] = {}
        self._used: http.client.HTTPConnection | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._socket: socket.socket | None = None
        self._deadline = self._aborted = float("inf")
        self._late = False

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a request, as far as its headers.

        Raises:
            Hiccup: there is none.
            LlmserveError: the server's certificate or the proxy cannot be used.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            return self._get(parts, headers)
        except ssl.SSLCertVerificationError as error:
            raise download_errors.untrusted(host, error.verify_message) from error
        except BROKEN as error:
            self.drop()
            raise self.hiccup(error, host) from error

    def _get(self, parts: SplitResult, headers: Mapping[str, str]) -> Answer:
        proxy = proxies.proxy_of(parts)
        key = (f"{parts.scheme}://{parts.netloc}", proxy or "")
        target, headers = proxies.target(parts, proxy), {**headers, **proxies.headers_for(parts, proxy)}
        kept = self._kept.pop(key, None)
        if kept is not None:
            try:
                return self._ask(kept, key, target, headers)
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
                kept.close()  # the server had closed it meanwhile: no fault of anybody
                self.check()
        return self._ask(self._open(parts, proxy), key, target, headers)

    def _ask(
        self, line: http.client.HTTPConnection, key: tuple[str, str], target: str, headers: Mapping[str, str]
    ) -> Answer:
        self.drop()
        self._used = line
        self.check()
        self.watch(2)
        if line.sock is None:
            line.connect()
        self._socket = line.sock  # the library forgets it where the server will close
        self.check()
        line.request("GET", target, headers={"Accept-Encoding": "identity", **headers})
        self._answer = line.getresponse()
        return Answer(self, self._answer, keep=lambda: self._keep(key, line))

    def _open(self, parts: SplitResult, proxy: str | None) -> http.client.HTTPConnection:
        target = urlsplit(proxy) if proxy else parts
        host, port = target.hostname or "", target.port
        if parts.scheme == "https":
            line: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port or (80 if proxy else 443), timeout=self.patience.stall, context=self._trust.context
            )
            if proxy:
                line.set_tunnel(parts.hostname or "", parts.port or 443, headers=proxies.credentials(urlsplit(proxy)))
            return line
        return http.client.HTTPConnection(host, port or 80, timeout=self.patience.stall)

    def _keep(self, key: tuple[str, str], line: http.client.HTTPConnection) -> None:
        while len(self._kept) >= _KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        self._kept[key] = line
        self._used = self._answer = self._socket = None
        self._deadline = float("inf")

    def watch(self, times: float = 1) -> None:
        """A connection is to be waited for now, for so many times the patience with silence."""
        self._deadline = time.monotonic() + times * self.patience.stall

    def check(self) -> None:
        if self._aborted < float("inf"):
            raise Cancelled

    def is_over(self, now: float) -> bool:
        """Whether even what has come already should be left, since the end was called some time ago."""
        return now > self._aborted + _LAST

    def drop(self) -> None:
        """Close the connection in use: what it still sends is not wanted."""
        line, answer, self._used, self._answer, self._socket = self._used, self._answer, None, None, None
        self._deadline = float("inf")
        for item in (answer, line):
            if item is not None:
                item.close()

    def close(self) -> None:
        self.drop()
        while self._kept:
            self._kept.popitem()[1].close()

    def abort(self) -> None:
        """End whatever this client's thread waits for; it will take what has come, and ask for nothing more."""
        self._aborted = min(self._aborted, time.monotonic())
        self._shut()

    def expire(self, now: float) -> None:
        """End the wait if it has lasted too long: servers that drip know how to pass limits for single reads."""
        if now > self._deadline:
            self._late = True
            self._shut()

    def _shut(self) -> None:
        """Not by the method of TLS sockets: that forgets the cipher, and a reader would take what is encrypted."""
        used = self._socket
        if used is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(used, socket.SHUT_RDWR)

    def hiccup(self, error: Exception, host: str = "the server") -> Hiccup:
        """What broke, as a clause. Nothing of the address but its host is told: it may be signed."""
        self.check()
        late, self._late = self._late, False
        if late or isinstance(error, TimeoutError):
            return Hiccup(f"{host} says nothing for {self.patience.stall:g} s")
        if isinstance(error, EndedEarlyError | http.client.RemoteDisconnected | http.client.IncompleteRead):
            return Hiccup(f"the connection to {host} ends early")
        if isinstance(error, socket.gaierror):
            return Hiccup(f"the name {host} cannot be resolved", code="hub_unreachable")
        if isinstance(error, ConnectionRefusedError):
            return Hiccup(f"{host} refuses the connection", code="hub_unreachable")
        if isinstance(error, http.client.HTTPException | ValueError) and not isinstance(error, ConnectionError):
            return Hiccup(f"{host} breaks off, or does not speak HTTP ({type(error).__name__})")
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Hiccup(f"the connection to {host} broke: {(reason or type(error).__name__)[:100]}")
