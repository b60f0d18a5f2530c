"""The judge of event streams, byte by byte."""

from __future__ import annotations

import pytest

from llmserve.probe import sse
from llmserve.probe.exchange import Exchange, Request
from llmserve.probe.stream import StreamAnswer

REQUEST = Request(method="POST", target="/")


def judge(body: bytes) -> tuple[list[str | None], list[str]]:
    events, faults = sse.judge(Exchange(request=REQUEST, status=200, body=body))
    return [event.data for event in events], [fault.kind for fault in faults]


@pytest.mark.parametrize(
    ("body", "data", "faults"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"], []),
        (b"data:a\r\n\r\ndata: b\r\r", ["a", "b"], []),
        (b"data: a\ndata: b\n\n", ["a\nb"], []),
        (b": ping\n\ndata: a\n\n", ["a"], []),
        (b"id: 1\ndata: a\n\n: ping\n\n", ["a"], ["comment_after_id"]),
        (b"retry: 3000\n\ndata: a\n\n", [None, "a"], ["no_data"]),
        (b"event: ping\n\n", [None], ["no_data"]),
        (b"data:\n\n", [""], ["empty_data"]),
        (b"data: a\n\ndata: b", ["a", "b"], ["unterminated"]),
        (b"data: a\n\ndata: b\n", ["a", "b"], ["unterminated"]),
        (b"data: a\n\ndata: [DONE]", ["a", "[DONE]"], []),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"], ["bom"]),
        (b"data: \xff\n\n", ["\ufffd"], ["utf8"]),
        (b'{"a": 1}\n{"b": 2}\n', [], ["not_sse", "not_sse"]),
        (b'error: {"a": 1}\n\n', [], ["unknown_field"]),
        (b"<html>\n</html>\n", [], ["not_sse", "not_sse"]),
        (b"", [], []),
    ],
)
def test_events_and_faults(body: bytes, data: list[str | None], faults: list[str]) -> None:
    assert judge(body) == (data, faults)


def test_a_stream_without_end_of_faults_is_left() -> None:
    data, faults = judge(b"junk\n" * 1_000_000)
    assert (data, len(faults)) == ([], sse.MAX_FAULTS)


def test_when_an_event_was_complete() -> None:
    body = b"data: a\n\ndata: b\n\n"
    made = Exchange(request=REQUEST, status=200, body=body, arrivals=((0.1, 5), (0.2, 9), (0.3, 18)), took_s=0.4)
    assert [event.at_s for event in sse.judge(made)[0]] == [0.2, 0.3]


def test_what_a_client_puts_together() -> None:
    body = (
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\ndata: [DONE]\n\n'
    )
    answer = StreamAnswer(Exchange(request=REQUEST, status=200, body=body))
    assert (answer.text, answer.finishes(), answer.done, answer.usage) == ("Hello", ["stop"], 1, {"prompt_tokens": 1})
    assert (answer.unreadable, len(answer.chunks)) == ((), 4)
