"""From stored reads to a row: tokens, their stamps, and every way in which an answer can fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.bench.exchange import Exchange
from llmserve.bench.records import Request, Row

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
MS = 1_000_000
BASE = 1_700_000_000 * 1_000_000_000


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [choice], **more}).encode() + b"\n\n"


def usage(prompt: int, completion: int) -> bytes:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + json.dumps({"id": "c", "choices": [], "usage": counted}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def row(*pieces: bytes, api: str = "chat", head: bytes = HEAD, close: str | None = None) -> Row:
    """The row of an answer whose pieces arrive 10 ms apart, the head at once."""
    exchange = Exchange(Request(payload=b"x"), BASE, api)
    exchange.sent_ns = BASE
    exchange.take(head, BASE)
    for number, piece in enumerate(pieces, 1):
        exchange.take(piece, BASE + number * 10 * MS)
    if close is not None and not exchange.ended:
        exchange.closed(BASE + 1000 * MS, error=close)
    assert exchange.ended
    exchange.digest()
    return exchange.row(BASE)


def streamed(*events: bytes) -> list[bytes]:
    return [*map(framed, events), END]


def test_an_answer() -> None:
    texts = [chunk({"content": text}) for text in ("Hel", "lo", " wor", "ld", "!")]
    found = row(*streamed(*texts, chunk({}, "stop"), usage(7, 5), DONE))
    assert (found.cause, found.status, found.counted) == ("", 200, True)
    assert (found.input_tokens, found.output_tokens) == (7, 5)
    assert found.ttft_ms == pytest.approx(10)
    assert list(found.gaps_ms) == pytest.approx([10] * 4)
    assert list(found.chunk_tokens) == [1] * 5
    assert found.tpot_ms == pytest.approx(10)
    assert found.e2e_ms == pytest.approx(50)


def test_an_empty_role_chunk_is_no_token() -> None:
    found = row(*streamed(chunk({"role": "assistant", "content": ""}), chunk({"content": "x"}), chunk({}, "stop")))
    assert found.ttft_ms == pytest.approx(20)
    assert found.output_tokens == 1


def test_reasoning_is_the_first_token_and_told_apart() -> None:
    thoughts = [chunk({"reasoning_content": f"t{i}"}) for i in range(3)]
    found = row(*streamed(*thoughts, chunk({"content": "a"}), chunk({"content": "b"}), chunk({}, "stop"), usage(1, 5)))
    assert found.first_kind == "reasoning"
    assert found.ttft_ms == pytest.approx(10)
    assert found.answer_s == pytest.approx(0.040)
    assert found.output_tokens == 5


def test_a_tool_call_is_a_first_token_too() -> None:
    call = {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": ""}}]}
    found = row(*streamed(chunk(call), chunk({}, "tool_calls"), usage(1, 3)))
    assert (found.first_kind, found.cause, found.output_tokens) == ("tool", "", 3)


def test_tokens_of_chunks_that_hold_several_come_from_the_usage() -> None:
    found = row(*streamed(*[chunk({"content": " a b c d"})] * 4, chunk({}, "length"), usage(9, 16)))
    assert found.output_tokens == 16
    assert list(found.chunk_tokens) == [4.0] * 4


def test_a_running_usage_says_which_chunk_held_how_many() -> None:
    counts = [1, 4, 6]
    events = [chunk({"content": "x"}, usage={"prompt_tokens": 2, "completion_tokens": count}) for count in counts]
    found = row(*streamed(*events, chunk({}, "stop"), usage(2, 6)))
    assert list(found.chunk_tokens) == [1.0, 3.0, 2.0]


def test_comments_late_usage_and_other_line_ends() -> None:
    found = row(*streamed(b": ping\n\n", chunk({"content": "a"}), chunk({}, "stop"), b": ping\n\n", usage(3, 1), DONE))
    assert (found.cause, found.output_tokens, found.input_tokens) == ("", 1, 3)
    crlf = [event.replace(b"\n", b"\r\n") for event in (chunk({"content": "a"}), chunk({}, "stop"), usage(3, 1))]
    found = row(*streamed(*crlf))
    assert (found.cause, found.output_tokens, found.input_tokens) == ("", 1, 3)


@given(st.data())
def test_the_figures_do_not_depend_on_how_the_bytes_were_cut(data: st.DataObject) -> None:
    texts = ["a", " bc", 'quo"te', "back\\slash", "é", "new\nline", " tok1", " tok2", " tok3", "{}", "}]"]
    events = [chunk({"content": text}) for text in texts]
    raw = HEAD + b"".join(map(framed, [*events, chunk({}, "stop"), usage(1, len(texts)), DONE])) + END
    cuts = sorted(set(data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=12))))
    exchange = Exchange(Request(payload=b"x", followup=lambda _: None), BASE, "chat")
    plain = Exchange(Request(payload=b"x"), BASE, "chat")
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        for one in (exchange, plain):
            assert not one.ended
            one.take(raw[start:end], BASE + end)
            if data.draw(st.booleans()):
                one.digest()
    for one in (exchange, plain):
        assert one.ended
        one.digest()
        found = one.row(BASE)
        assert (found.cause, found.output_tokens, len(found.gaps_ms)) == ("", len(texts), len(texts) - 1)
    assert exchange.text == "".join(texts)
    assert list(exchange.decoder.times) == list(plain.decoder.times)


def test_what_looks_like_the_last_chunk_inside_a_text_is_none() -> None:
    trap = framed(b"data: " + json.dumps({"choices": [{"delta": {"content": "x"}}]}).encode() + b"\n\r\n0\r\n\r\n")
    found = row(trap, *streamed(chunk({"content": "b"}), chunk({}, "stop")))
    assert found.cause in ("", "malformed")  # never counted as whole with the rest left out
    assert found.cause or found.output_tokens == 2


REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 33\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "cause"),
    [
        ([*streamed(chunk({"content": "a"}), b'data: {"error": {"message": "boom"}}\n\n')], "in_stream_error"),
        ([*streamed(chunk({"content": "a"}), b"data: {nonsense\n\n")], "malformed"),
        ([*streamed(chunk({"content": "a"}), DONE)], "missing_finish"),
        ([*streamed(chunk({"role": "assistant"}), chunk({}, "stop"))], "empty"),
        ([framed(chunk({"content": "a"})), b"zz\r\n", END], "malformed"),
    ],
)
def test_failures_inside_an_answer_of_status_200(pieces: list[bytes], cause: str) -> None:
    found = row(*pieces)
    assert (found.cause, found.ok, found.counted) == (cause, False, False)


@pytest.mark.parametrize(("error", "cause"), [("", "truncated"), ("Connection reset by peer", "reset")])
def test_an_answer_that_breaks_off_counts_what_came_and_no_more(error: str, cause: str) -> None:
    found = row(*map(framed, [chunk({"content": text}) for text in "abc"]), close=error)
    assert (found.cause, found.output_tokens, found.counted) == (cause, 3, False)


def test_a_refusal_is_counted_by_its_status() -> None:
    found = row(b'{"error": {"message": "slow down"}', head=REFUSED)
    assert (found.cause, found.status, found.output_tokens) == ("status", 429, 0)


def test_what_is_no_http_is_malformed() -> None:
    exchange = Exchange(Request(payload=b"x"), BASE, "chat")
    exchange.take(b"SSH-2.0-OpenSSH\r\n\r\n", BASE)
    assert (exchange.ended, exchange.cause) == (True, "malformed")


def test_other_apis() -> None:
    text = [
        b"data: " + json.dumps({"choices": [{"index": 0, "text": t, "finish_reason": None}]}).encode() + b"\n\n"
        for t in ("a", "b")
    ]
    end = b'data: {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}\n\n'
    assert row(*streamed(*text, end, usage(2, 2)), api="completions").output_tokens == 2
    said: list[dict[str, Any]] = [
        {"type": "response.created", "response": {}},
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.output_text.delta", "delta": "hi"},
        {"type": "response.completed", "response": {"usage": {"input_tokens": 4, "output_tokens": 2}}},
    ]
    events = [b"event: " + str(one["type"]).encode() + b"\ndata: " + json.dumps(one).encode() + b"\n\n" for one in said]
    found = row(*streamed(*events), api="responses")
    assert (found.cause, found.input_tokens, found.output_tokens, found.first_kind) == ("", 4, 2, "reasoning")
    body = json.dumps({"data": [{"embedding": [1.0]}], "usage": {"prompt_tokens": 6, "total_tokens": 6}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    found = row(body, api="embeddings", head=head)
    assert (found.cause, found.input_tokens, found.output_tokens, found.ttft_ms) == ("", 6, 0, None)


def test_an_answer_that_was_not_streamed_has_all_its_tokens_at_its_end() -> None:
    message = {"choices": [{"message": {"content": "a b c"}, "finish_reason": "stop"}],
               "usage": {"prompt_tokens": 1, "completion_tokens": 3}}  # fmt: skip
    body = json.dumps(message).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    found = row(body[:10], body[10:], head=head)
    assert (found.cause, found.output_tokens) == ("", 3)
    assert found.ttft_ms == pytest.approx(20)
