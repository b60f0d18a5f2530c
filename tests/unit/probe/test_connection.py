"""The raw exchange: bytes, framing, bounds; and whatever a server does, an answer."""

from __future__ import annotations

import gzip

import pytest

from llmserve.probe.connection import Connection, Target, exchange
from llmserve.probe.exchange import Exchange, Limits, Request
from tests.fakes.wire import FOREVER, STAY, Script, wire

GET = Request(method="GET", target="/v1/models", headers=(("Accept", "application/json"),))
LIMITS = Limits(total_s=20, idle_s=20, max_bytes=100_000)
SHORT = Limits(total_s=0.3, idle_s=0.2, connect_s=0.3, max_bytes=100_000)


def ask(*scripts: Script, request: Request = GET, limits: Limits = LIMITS) -> Exchange:
    with wire(*scripts) as server:
        return exchange(Target.of(server.url), request, limits)


def test_an_answer_is_recorded_to_the_byte() -> None:
    made = ask(
        b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert (made.status, made.version, made.body, made.error, made.faults) == (200, "HTTP/1.1", b"{}", "", ())
    assert made.headers == (
        ("Content-Type", "Application/JSON; charset=utf-8"), ("X-A", "1"), ("Content-Length", "2")
    )  # fmt: skip
    assert made.media_type == "application/json"
    assert made.header("x-a") == "1"


def test_what_is_sent_is_what_was_asked() -> None:
    request = Request(method="POST", target="/v1/x", headers=(("A", "b"),), body=b'{"a":1}')
    with wire(b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        exchange(Target.of(server.url), request, LIMITS)
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert server.requests == [
        f'POST /v1/x HTTP/1.1\r\nHost: {host}\r\nA: b\r\nContent-Length: 7\r\n\r\n{{"a":1}}'.encode()
    ]


def test_chunks_and_their_arrivals() -> None:
    made = ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n")
    assert (made.body, made.error, made.arrivals[-1][1]) == (b"abcde", "", 5)


def test_gzip_is_unpacked() -> None:
    packed = gzip.compress(b'{"a": 1}')
    made = ask(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
    assert made.body == b'{"a": 1}'


def test_an_interim_answer_is_none() -> None:
    made = ask(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert (made.status, made.body) == (200, b"x")


def test_a_connection_carries_several_exchanges_if_the_server_keeps_it() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
    with wire(closing) as server, Connection(Target.of(server.url)) as connection:
        connection.exchange(GET, LIMITS)
        assert not connection.reusable
    with (
        wire([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", STAY]) as server,
        Connection(Target.of(server.url)) as one,
    ):
        one.exchange(GET, LIMITS)
        assert one.reusable


BOMB = gzip.compress(b"0" * 50_000_000)
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("script", "error", "limits"),
    [
        (b"", "cut", LIMITS),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not_http", LIMITS),
        (HEAD + b"Content-Length: 10\r\n\r\nabc", "cut", LIMITS),
        (HEAD + b"Content-Length: ten\r\n\r\nabc", "not_http", LIMITS),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nabc", "not_http", LIMITS),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "coding", LIMITS),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcdefghijklm\r\n0\r\n\r\n", "coding", LIMITS),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "cut", LIMITS),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "coding", LIMITS),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB, "too_large", LIMITS),
        ([HEAD + b"\r\n", FOREVER, b"data: {}\n\n" * 1000], "too_large", LIMITS),
        ([HEAD, FOREVER, b"X: " + b"a" * 100_000], "too_large", LIMITS),
        ([HEAD, FOREVER, b"X: a\r\n"], "not_http", LIMITS),
        ([FOREVER, b"HTTP/1.1 100 Continue\r\n\r\n"], "not_http", LIMITS),
        ([HEAD, STAY], "timeout", SHORT),
        ([HEAD + b"Content-Length: 3\r\n\r\na", STAY], "idle", SHORT),
    ],
    ids=range(16),
)  # fmt: skip
def test_whatever_a_server_does_it_ends(script: Script, error: str, limits: Limits) -> None:
    made = ask(script, limits=limits)
    assert made.error == error
    assert made.detail
    assert len(made.body) <= limits.max_bytes


def test_nothing_listens() -> None:
    assert exchange(Target("127.0.0.1", 1, False, ""), GET, LIMITS).error == "refused"


def test_plain_http_where_tls_is_asked() -> None:
    with wire(HEAD + b"Content-Length: 0\r\n\r\n") as server:
        made = exchange(Target.of(server.url.replace("http:", "https:")), GET, SHORT)
    assert made.error in ("tls", "connect_timeout", "network")


def test_a_redirect_is_not_followed() -> None:
    with wire(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as other:
        made = ask(b"HTTP/1.1 307 Go\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % other.url.encode())
        assert (made.status, other.requests) == (307, [])


def test_breaches_of_http_are_noted() -> None:
    made = ask(b"HTTP/1.1 200 OK\nContent-Length: 2\nno header\n\nabc")
    assert (made.status, made.body) == (200, b"ab")
    assert len(made.faults) == 3  # bare line feeds, a line that is no header, bytes too many


def test_a_client_hangs_up_after_the_first_pieces() -> None:
    limits = Limits(total_s=20, idle_s=20, first_pieces=1)
    made = ask([HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", STAY], limits=limits)
    assert (made.body, made.error) == (b"a", "")
