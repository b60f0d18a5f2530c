"""How a hub is reached: proxies, certificates, limits of time, and what is worth asking for again."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from llmserve.addresses import is_loopback
from llmserve.errors import UsageError
from llmserve.models.hub import settings as hub_settings

if TYPE_CHECKING:
    import ssl

    import httpx2

T = TypeVar("T")

_CONNECT, _ANSWER = 5.0, 15.0  # seconds for a connection, and between two pieces of an answer
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_PASSING = (429, 500, 502, 503, 504)
_LONGEST_PAUSE = 30.0  # seconds: who is told to wait longer had better be asked


def client(endpoint: str, most: int) -> httpx2.Client:
    """Connections to a hub, at most ``most``, as the environment wants them: HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE.

    Not those of the hub's library: it keeps 20 connections open at most, and would close and open others.

    Raises:
        UsageError: a variable names a proxy or certificates that cannot be used.
    """
    import httpx2

    try:
        return httpx2.Client(
            follow_redirects=True,
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
            timeout=httpx2.Timeout(_ANSWER, connect=_CONNECT),
            verify=trusted(),
            mounts=dict.fromkeys(_direct(endpoint)),
        )
    except ImportError as error:
        raise _bad_proxy(endpoint, "a SOCKS proxy needs the package socksio") from error
    except (ValueError, httpx2.InvalidURL) as error:
        raise _bad_proxy(endpoint, "it is no address of a proxy") from error


def silence() -> None:
    """Keep the hub's library from writing to the terminal: its warnings would stand between our lines."""
    import logging
    import warnings

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"huggingface_hub\b")


def proxy(endpoint: str) -> str | None:
    """The proxy between this machine and a hub, without its password; None where there is none."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    found = getproxies()
    address = found.get(parts.scheme) or found.get("all")
    return hub_settings.shown(address) if address else None


def trusted() -> ssl.SSLContext:
    """Whose certificates are trusted. The HTTP client itself knows the first two of the variables alone."""
    import ssl

    name = next((name for name in _CERTIFICATES if os.environ.get(name)), None)
    if name is None:
        return _usual()
    path = Path(os.environ[name])
    try:
        if path.is_dir():
            return ssl.create_default_context(capath=str(path))
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise UsageError(
            f"{name} names certificates that cannot be read: {path}.",
            hint=f"Give the path of a PEM file, or unset {name}.",
            code="bad_certificates",
        ) from error


@functools.cache
def _usual() -> ssl.SSLContext:
    """To read the usual authorities takes as long as many a request."""
    import httpx2

    return httpx2.create_ssl_context()


def in_time(work: Callable[[], T], seconds: float, *, late: Callable[[T], object]) -> T:
    """What ``work`` returns, unless it takes longer: name resolution, for one, knows no limit of its own.

    ``late`` gets what comes after that, to be closed.

    Raises:
        TimeoutError: time is up; the work goes on in a thread that ends with the process.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="hub", daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except BaseException:
        future.add_done_callback(lambda done: done.exception() or late(done.result()))
        raise


def pause(error: Exception, planned: float, *, patient: bool) -> float | None:
    """Seconds to wait before the same is asked again; None where that would not help.

    ``patient``: also a hub that cannot be reached at all is asked again.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return _told(error.response, planned) if error.response.status_code in _PASSING else None
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return planned if patient and "CERTIFICATE" not in str(error) else None
    return planned if isinstance(error, (httpx2.NetworkError, httpx2.RemoteProtocolError)) else None


def _told(response: httpx2.Response, planned: float) -> float | None:
    """What the hub asks to wait, where it is not too long."""
    try:
        wanted = max(planned, float(response.headers.get("Retry-After", planned)))
    except ValueError:  # a date
        return planned
    return wanted if wanted <= _LONGEST_PAUSE else None


def _direct(endpoint: str) -> list[str]:
    """What no proxy is asked for: this machine."""
    host = urlsplit(endpoint).hostname or ""
    own = [f"[{host}]" if ":" in host else host] if is_loopback(host) else []
    return [f"all://{name}" for name in (*_LOOPBACK, *own)]


def _bad_proxy(endpoint: str, reason: str) -> UsageError:
    return UsageError(
        f"The proxy that the environment names cannot be used ({proxy(endpoint) or 'HTTPS_PROXY'}): {reason}.",
        hint="Write HTTPS_PROXY=http://host:port, or unset it; NO_PROXY lists hosts that need none.",
        code="bad_proxy",
    )
