"""Proxies on the way to an endpoint: asked for whole addresses, made to tunnel TLS, left out where they should be."""

from __future__ import annotations

import socket

import pytest

from llmserve.errors import UsageError
from llmserve.probe.connection import Target, exchange
from llmserve.probe.exchange import Exchange, Limits, Request
from llmserve.probe.proxy import Proxy, ProxyRefusedError
from tests.fakes.wire import Wire, wire

GET = Request(method="GET", target="/v1/models", headers=(("Authorization", "Bearer sk-endpoint"),))
LIMITS = Limits(total_s=20, idle_s=20)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def no_other_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def address(proxy: Wire, user: str = "") -> str:
    return proxy.url.removesuffix("/v1").replace("http://", f"http://{user}")


def test_a_plain_request_names_the_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with wire(OK) as proxy:
        monkeypatch.setenv("http_proxy", address(proxy, "ada:l%40ve@"))
        made = exchange(Target.of("http://api.invalid:8000/v1"), GET, LIMITS)
    head = proxy.requests[0].decode()
    assert made.status == 200
    assert head.startswith("GET http://api.invalid:8000/v1/models HTTP/1.1\r\nHost: api.invalid:8000\r\n")
    assert "\r\nProxy-Authorization: Basic YWRhOmxAdmU=\r\n" in head
    assert not any("proxy" in name.lower() for name, _ in made.request.headers), "the evidence holds no password"


def test_a_proxy_that_refuses_a_tunnel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with wire(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", address(proxy))
        made: Exchange = exchange(Target.of("https://api.invalid/v1"), GET, LIMITS)
    assert (made.error, made.detail) == ("network", "the proxy refuses: 407 Proxy Authentication Required")
    assert b"sk-endpoint" not in proxy.requests[0]


def test_what_follows_the_head_belongs_to_the_tunnel() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nHELLO")
        Proxy("proxy", 3128, (("Proxy-Authorization", "Basic eA=="),)).tunnel(near, "2001:db8::1", 443, 10)
        sent = far.recv(4096)
        assert near.recv(5) == b"HELLO"
    assert sent.startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nProxy-Authorization: ")


def test_an_endless_head_ends() -> None:
    near, far = socket.socketpair()
    far.sendall(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 4000)
    with near, far, pytest.raises(ProxyRefusedError):
        Proxy("proxy", 3128).tunnel(near, "api.invalid", 443, 10)


def test_the_loopback_and_no_proxy_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "inside.invalid")
    ways = [Target.of(f"http://{host}/v1").proxy for host in ("127.0.0.1:1", "localhost:1", "inside.invalid")]
    assert ways == [None] * 3
    assert Target.of("http://outside.invalid/v1").proxy == Proxy("proxy.invalid", 3128)


def test_a_proxy_of_another_kind_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://proxy.invalid:1080")
    with pytest.raises(UsageError, match="socks5"):
        Target.of("http://api.invalid/v1")
