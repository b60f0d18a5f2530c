"""Heads and framings, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.bench.http import Chunked, Counted, MalformedError, UntilClose, body_of, parse_head, request


def test_a_request_is_written_with_its_length() -> None:
    raw = request("https://host:8443/v1", "/chat/completions", b"{}", {"Authorization": "Bearer k"})
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /v1/chat/completions HTTP/1.1",
        b"Host: host:8443",
        b"Authorization: Bearer k",
        b"Content-Type: application/json",
        b"Content-Length: 2",
    ]
    assert body == b"{}"


@pytest.mark.parametrize(
    ("raw", "status", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", 200, Chunked),
        (b"HTTP/1.1 429 Too Many\r\ncontent-length: 12", 429, Counted),
        (b"HTTP/1.0 200 OK\r\nX: y", 200, UntilClose),
        (b"HTTP/1.1 204 No Content\r\nX: y", 204, Counted),
    ],
)
def test_the_framing_follows_from_the_head(raw: bytes, status: int, kind: type) -> None:
    head = parse_head(raw)
    assert head.status == status
    assert isinstance(body_of(head), kind)


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH", b"HTTP/1.1 OK", b"HTTP/1.1 200 OK\r\nnonsense", b""])
def test_what_is_no_http_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_head(raw)


def test_connections_are_kept_unless_the_server_closes_them() -> None:
    assert parse_head(b"HTTP/1.1 200 OK\r\nX: y").keep_alive
    assert not parse_head(b"HTTP/1.1 200 OK\r\nConnection: Close").keep_alive
    assert not parse_head(b"HTTP/1.0 200 OK\r\nX: y").keep_alive


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_chunks_are_joined_however_they_were_cut(parts: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    body, content = Chunked(), b""
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        assert not body.done or start == end
        content += body.feed(raw[start:end])
    assert content == b"".join(parts)
    assert body.done


def test_extensions_and_trailers_are_passed_over() -> None:
    body = Chunked()
    assert body.feed(b"3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n") == b"abc"
    assert body.done


@pytest.mark.parametrize("raw", [b"zz\r\nabc", b"3\r\nabcd\r\n", b"0\r\n\r\nmore", b"-1\r\nx\r\n", b"fffffffff\r\n"])
def test_broken_chunks_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        Chunked().feed(raw)


def test_more_than_was_announced_is_refused() -> None:
    body = Counted(2)
    assert body.feed(b"ab") == b"ab"
    assert body.done
    with pytest.raises(MalformedError):
        body.feed(b"c")
