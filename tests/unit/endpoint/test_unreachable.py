"""The HTTP client's exceptions, as the network brings them, to sentences."""

from __future__ import annotations

import errno
import os
import ssl

import httpx2
import pytest

from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.unreachable import explain


def caused(error: Exception, *causes: Exception) -> Exception:
    """``error`` with its chain of causes, as ``raise ... from`` makes it."""
    for outer, inner in zip((error, *causes), causes, strict=False):
        outer.__cause__ = inner
    return error


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def untrusted() -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def no_tls() -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("error", "code", "message", "hint"),
    [
        (caused(httpx2.ConnectError("x"), os_error(errno.ECONNREFUSED)), "connection_refused",
         "Nothing listens at https://box/v1 (connection refused).",
         "Is the server running? See whether it listens on that address."),
        (caused(httpx2.ConnectError("x"), os_error(errno.EHOSTUNREACH)), "unreachable",
         "https://box/v1 cannot be reached: No route to host.", "Check the address."),
        (caused(httpx2.ConnectTimeout("x"), httpx2.ConnectTimeout("y"), TimeoutError()), "timeout",
         "https://box/v1 did not take the connection within 10 s.",
         "Check the address, and whether it wants http://."),
        (caused(httpx2.ReadTimeout("x"), TimeoutError()), "timeout",
         "https://box/v1 was silent for 600 s.", "See whether the server is overloaded."),
        (caused(httpx2.ConnectError("x"), httpx2.ConnectError("y"), untrusted()), "tls",
         "The certificate of box is not trusted: self-signed certificate.",
         "If it is your own, point SSL_CERT_FILE to its authority."),
        (caused(httpx2.ConnectError("x"), no_tls()), "tls",
         "TLS with https://box/v1 failed: wrong version number.", "Try --base-url http://box/v1"),
        (caused(httpx2.ReadError("x"), os_error(errno.ECONNRESET)), "broken_answer",
         "https://box/v1 closed the connection without an answer.",
         "See whether it is still running, and whether it wants http://."),
        (httpx2.ProxyError("403 Forbidden"), "proxy", "The proxy did not lead to https://box/v1: 403 Forbidden.",
         "Check HTTP_PROXY and HTTPS_PROXY, or add the host to NO_PROXY."),
        (httpx2.DecodingError("bad gzip"), "broken_answer", "https://box/v1 gave no readable answer: bad gzip.", None),
    ],
)  # fmt: skip
def test_sentences(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, message: str, hint: str | None
) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)
    fault = explain(Endpoint(base_url="https://box/v1"), error)
    assert (fault.code, fault.message, fault.hint) == (code, message, hint)


@pytest.mark.parametrize(
    ("url", "no_proxy", "code"),
    [
        ("http://box/v1", "", "proxy"),
        ("http://box/v1", "box", "connection_refused"),
        ("http://127.0.0.1:1/v1", "", "connection_refused"),
        ("https://box/v1", "", "connection_refused"),
    ],
)
def test_behind_a_proxy_it_was_the_proxy(monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str, code: str) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", no_proxy)
    refused = caused(httpx2.ConnectError("x"), os_error(errno.ECONNREFUSED))
    assert explain(Endpoint(base_url=url), refused).code == code


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    first, second = httpx2.ConnectError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert explain(Endpoint(base_url="http://h/v1"), first).code == "broken_answer"
