"""The parser against the examples of the specification, and against every way of cutting bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.endpoint.sse import Event, Parser, TooLongError


def parse(*chunks: bytes, limit: int = 1024**2) -> list[Event]:
    parser = Parser(limit=limit)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def data(*chunks: bytes) -> list[str]:
    return [event.data for event in parse(*chunks)]


def test_specification_multi_line_data() -> None:
    assert data(b"data: YHOO\ndata: +2\ndata: 10\n\n") == ["YHOO\n+2\n10"]


def test_specification_comment_ids_and_leading_space() -> None:
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"
    assert parse(stream + b"\n") == [
        Event("first event", "message", "1"),
        Event("second event", "message", ""),
        Event(" third event", "message", ""),
    ]
    assert len(parse(stream)) == 2, "the third has no blank line"


def test_specification_empty_data_lines() -> None:
    assert data(b"data\n\ndata\ndata\n\ndata:") == ["", "\n"]


def test_specification_space_is_optional() -> None:
    assert data(b"data:test\n\ndata: test\n\n") == ["test", "test"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_line_end(end: bytes) -> None:
    assert data(b"data: a" + end + b"data: b" + end + end + b"data: c" + end + end) == ["a\nb", "c"]


def test_lines_of_one_chunk_may_end_differently() -> None:
    assert data(b"data: a\r\ndata: b\rdata: c\n\r\n") == ["a\nb\nc"]


def test_a_line_feed_in_the_next_chunk_belongs_to_the_carriage_return() -> None:
    assert data(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == ["a\nb"]


def test_an_event_is_given_with_its_carriage_return_not_one_chunk_later() -> None:
    assert data(b"data: a\r\r") == ["a"]


def test_byte_order_mark_is_dropped_at_the_beginning_only() -> None:
    mark = b"\xef\xbb\xbf"
    assert data(mark[:1], mark[1:] + b"data: a\n\n" + mark + b"data: b\n\n") == ["a"]


@pytest.mark.parametrize("line", [b"data: [DONE]", b"data:[DONE]"])
def test_done(line: bytes) -> None:
    assert data(line + b"\n\n") == ["[DONE]"]


def test_utf8_may_be_cut_anywhere() -> None:
    stream = "data: réd😀\n\n".encode()
    assert data(*(stream[i : i + 1] for i in range(len(stream)))) == ["réd😀"]


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert data(b"data: a\xffb\n\n") == ["a\ufffdb"]


def test_event_name_holds_for_one_event() -> None:
    assert parse(b"event: error\ndata: x\n\ndata: y\n\n") == [Event("x", "error"), Event("y", "message")]


def test_event_without_data_is_none_and_leaves_no_name() -> None:
    assert parse(b"event: ping\n\ndata: y\n\n") == [Event("y")]


def test_id_with_a_null_is_ignored() -> None:
    assert parse(b"id: 7\n\nid: 8\0\ndata: y\n\n") == [Event("y", "message", "7")]


def test_unknown_fields_are_ignored() -> None:
    assert parse(b"error: x\nDATA: y\n data: z\n\n") == []


def test_retry_is_kept_if_it_is_a_number() -> None:
    parser = Parser()
    assert list(parser.feed(b"retry: 3000\n\nretry: soon\n\n")) == []
    assert parser.retry == 3000


def test_end_gives_what_has_no_blank_line() -> None:
    parser = Parser()
    assert list(parser.feed(b"data: a\ndata: b")) == []
    assert parser.end() == Event("a\nb")
    assert parser.end() is None


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 20 + b"\n\n", b"data: 0123456789" * 2, b"data: 1234\n" * 3])
def test_the_limit_holds_for_lines_and_for_events(stream: bytes) -> None:
    with pytest.raises(TooLongError):
        parse(stream, limit=16)


def test_events_before_the_long_line_arrive() -> None:
    parser = Parser(limit=16)
    events = parser.feed(b"data: a\n\ndata: " + b"x" * 20)
    assert next(events).data == "a"
    with pytest.raises(TooLongError):
        next(events)


_LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"data: {\"x\": 1}", b"event: e", b"id: 1", b"id", b"retry: 5", b": c", b"", b"",
     "data: é😀\u2028".encode(), b"\xef\xbb\xbfdata: bom", b"data: \xf0\x9f", b"nonsense"]
)  # fmt: skip
_STREAMS = st.lists(st.tuples(_LINES, st.sampled_from([b"\n", b"\r", b"\r\n"]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(stream=_STREAMS | st.binary(), cuts=st.lists(st.integers(min_value=0, max_value=400)))
def test_any_cutting_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert parse(*chunks) == parse(stream)


@given(texts=st.lists(st.text().filter(lambda text: not set(text) & set("\r\n")), min_size=1))
def test_what_is_written_is_read(texts: list[str]) -> None:
    stream = "".join(f"data: {line}\n" for line in texts) + "\n"
    assert data(stream.encode("utf-8", "replace")) == [
        "\n".join(text.encode("utf-8", "replace").decode() for text in texts)
    ]
