"""Why a request brought no answer: the network's reasons, each as one sentence and the next step.

``code`` of the error: ``connection_refused``, ``unknown_host``, ``tls``, ``timeout``, ``proxy``, ``unreachable``,
``broken_answer``.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.url import is_loopback
from llmserve.errors import LlmserveError

__all__ = ["explain"]


def explain(endpoint: Endpoint, error: Exception) -> LlmserveError:
    """The error for the user, from the HTTP client's exception and what caused it."""
    import httpx2

    url = endpoint.base_url
    if isinstance(error, httpx2.ProxyError) or (isinstance(error, httpx2.NetworkError) and _has_proxy(url)):
        return _proxy(url, error)
    if isinstance(error, httpx2.TimeoutException):
        return _timeout(endpoint, connecting=isinstance(error, (httpx2.ConnectTimeout, httpx2.PoolTimeout)))
    if isinstance(error, (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)):
        other = "http" if url.startswith("https") else "https"
        hint = f"See whether it is still running, and whether it wants {other}://."
        return LlmserveError(f"{url} closed the connection without an answer.", hint=hint, code="broken_answer")
    cause = next((cause for cause in _causes(error) if isinstance(cause, OSError)), None)
    if cause:
        return _socket(endpoint, cause)
    return LlmserveError(f"{url} gave no readable answer: {_line(error)}.", code="broken_answer")


def _socket(endpoint: Endpoint, cause: OSError) -> LlmserveError:
    url, host = endpoint.base_url, urlsplit(endpoint.base_url).hostname
    if isinstance(cause, ssl.SSLCertVerificationError):
        return LlmserveError(
            f"The certificate of {host} is not trusted: {cause.verify_message}.",
            hint="If it is your own, point SSL_CERT_FILE to its authority.", code="tls",
        )  # fmt: skip
    if isinstance(cause, ssl.SSLError):
        plain = url.replace("https://", "http://", 1)
        reason = (cause.reason or "handshake failed").replace("_", " ").lower()
        return LlmserveError(f"TLS with {url} failed: {reason}.", hint=f"Try --base-url {plain}", code="tls")
    if isinstance(cause, socket.gaierror):
        return LlmserveError(f"The host {host} is unknown.", hint="Check the address.", code="unknown_host")
    if isinstance(cause, ConnectionRefusedError):
        near = "See what runs with `llmserve ps`." if is_loopback(url) else "See whether it listens on that address."
        hint = f"Is the server running? {near}"
        return LlmserveError(f"Nothing listens at {url} (connection refused).", hint=hint, code="connection_refused")
    reason = cause.strerror or _line(cause)
    return LlmserveError(f"{url} cannot be reached: {reason}.", hint="Check the address.", code="unreachable")


def _timeout(endpoint: Endpoint, *, connecting: bool) -> LlmserveError:
    url = endpoint.base_url
    if connecting:
        message = f"{url} did not take the connection within {endpoint.connect_timeout:g} s."
        tls = url.startswith("https://")
        hint = "Check the address, and whether it wants http://." if tls else "Check the address, and for a firewall."
    else:
        message, hint = f"{url} was silent for {endpoint.read_timeout:g} s.", "See whether the server is overloaded."
    return LlmserveError(message, hint=hint, code="timeout")


def _proxy(url: str, error: Exception) -> LlmserveError:
    hint = "Check HTTP_PROXY and HTTPS_PROXY, or add the host to NO_PROXY."
    return LlmserveError(f"The proxy did not lead to {url}: {_line(error)}.", hint=hint, code="proxy")


def _has_proxy(url: str) -> bool:
    """Whether the environment sends requests for ``url`` to a proxy: then it is that which refused a connection."""
    from urllib.request import getproxies, proxy_bypass

    parts, proxies = urlsplit(url), getproxies()
    if is_loopback(url) or not {parts.scheme, "all"} & proxies.keys():
        return False
    return not proxy_bypass(parts.hostname or "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The innermost first: it is the most exact."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return reversed(chain)


def _line(error: Exception) -> str:
    text = " ".join(re.sub(r"\[Errno -?\d+\] ", "", str(error)).split())
    return text.rstrip(".") or type(error).__name__
