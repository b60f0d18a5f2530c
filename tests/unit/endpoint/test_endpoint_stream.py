"""Streams as servers send them, good and bad, read from bytes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.endpoint import stream
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.types import Delta, StreamEnd, StreamEvent, Usage
from llmserve.errors import LlmserveError, NeedsAccessError
from tests.fakes.endpoint import DONE, chunk, event

HERE = Endpoint(base_url="http://h/v1", api_key="sk-secret")
STOP = chunk(finish_reason="stop")


def read(*chunks: bytes) -> list[StreamEvent]:
    return list(stream.read(chunks, HERE, model="m"))


def text(*chunks: bytes) -> str:
    return "".join(event.content for event in read(*chunks) if isinstance(event, Delta))


def fault(*chunks: bytes) -> tuple[str, LlmserveError]:
    """The text that came before the error, and the error."""
    said: list[str] = []
    with pytest.raises(LlmserveError) as caught:
        said.extend(event.content for event in stream.read(chunks, HERE, model="m") if isinstance(event, Delta))
    return "".join(said), caught.value


def test_a_good_stream() -> None:
    counted = event({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1}})
    assert read(chunk("", role="assistant"), chunk("a"), STOP, counted, DONE) == [
        Delta(role="assistant"),
        Delta(content="a"),
        Delta(finish_reason="stop"),
        Usage(prompt=2, completion=1, total=3),
        StreamEnd(finish_reason="stop", done=True),
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        [chunk("a"), STOP],  # no [DONE]
        [chunk("a"), DONE],  # no finish reason
        [chunk("a"), STOP, DONE.strip()],  # no blank line at the end
        [chunk("a"), STOP.strip()],
        [b": ping\n\n", chunk("a"), b": ping\n\n", STOP, DONE],
        [b"retry: 3000\n\nevent: ping\n\ndata:\n\ndata: {}\n\nevent: ping\ndata: {}\n\n", chunk("a"), STOP],
        [b"data: null\n\ndata: []\n\n", chunk("a"), DONE],
        [event({"usage": {"prompt_tokens": 1}}), chunk("a"), STOP],
        [event({"choices": None}), chunk("a"), STOP],
        [chunk("a"), STOP, event({"choices": [], "usage": None}), DONE],
        [chunk("a"), DONE, b"data: after the end\n\n"],
        [b"\xef\xbb\xbf" + chunk("a"), DONE],
        [chunk("a").replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")],
        [chunk("a").replace(b"data: ", b"data:"), b"data:[DONE]\n\n"],
    ],
)  # fmt: skip
def test_streams_that_are_odd_but_whole(pieces: list[bytes]) -> None:
    assert text(*pieces) == "a"


@pytest.mark.parametrize("cut", [b"", b'data: {"choi', chunk("b").strip()[:-1]])
def test_a_cut_stream_keeps_its_text_and_says_so(cut: bytes) -> None:
    said, error = fault(chunk("a"), cut)
    assert (said, error.code) == ("a", "stream_cut")
    assert error.message == "http://h/v1 stopped before the end of its answer."


def test_an_empty_body_is_a_cut() -> None:
    assert fault()[1].code == "stream_cut"
    assert fault(b"\n\n")[1].code == "stream_cut"


@pytest.mark.parametrize(
    "broken",
    [
        event({"error": {"message": "boom", "code": None}}),
        event({"error": "boom"}),
        event({"object": "error", "message": "boom"}),
        b"event: error\n" + event({"message": "boom"}),
        b"event: error\ndata: boom\n\n",
        b'event: error\ndata: "boom"\n\n',
    ],
)
def test_an_error_inside_a_stream(broken: bytes) -> None:
    said, error = fault(chunk("a"), broken, STOP, DONE)
    assert (said, error.code) == ("a", "stream_error")
    assert error.message == "http://h/v1 broke off with an error (boom)."


def test_a_finish_reason_that_is_an_error() -> None:
    said, error = fault(chunk("a"), chunk(finish_reason="error"), DONE)
    assert (said, error.code) == ("a", "stream_error")
    assert "finish reason is 'error'" in error.message


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (401, "bad key sk-secret", "unauthorized"),
        (429, "slow down", "rate_limited"),
        (500, "CUDA out of memory", "server_error"),
        (400, "the request exceeds the available context size", "context_overflow"),
        (404, "The model `m` does not exist.", "model_not_found"),
    ],
)
def test_an_error_inside_a_stream_that_names_a_status(code: int, message: str, kind: str) -> None:
    error = fault(event({"error": {"message": message, "code": code}}))[1]
    assert error.code == kind
    assert error.data["status"] == code
    assert "sk-secret" not in f"{error.message}{error.hint}{error.data}"
    assert isinstance(error, NeedsAccessError) is (code == 401)


def test_a_server_that_does_not_stream() -> None:
    answer: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}
    body = json.dumps(answer | {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}, indent=1).encode()
    assert read(body[:5], body[5:]) == [
        Delta(role="assistant", content="a", finish_reason="stop"),
        Usage(prompt=1, completion=2, total=3),
        StreamEnd(finish_reason="stop"),
    ]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html><title>Welcome</title></html>", "it sent 'Welcome'"),
        (b'{"choices": []}', "it sent JSON that is no answer"),
        (b'{"a": 1}\n{"b": 2}\n', 'it sent \'{"a": 1} {"b": 2}\''),
        (b"data: {not json}\n\n", "an event is not JSON"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "an event is not JSON"),
    ],
)
def test_what_is_no_stream(body: bytes, sentence: str) -> None:
    error = fault(body)[1]
    assert error.code == "bad_stream"
    assert error.message == f"http://h/v1 did not answer with an event stream: {sentence}."


def test_an_error_object_as_the_whole_body() -> None:
    assert fault(b'{"error": {"message": "boom"}}')[1].code == "stream_error"
    assert fault(b'{"detail": "boom"}')[1].message.endswith("(boom).")


def test_an_endless_line_ends() -> None:
    endless = (b"x" * 2**20 for _ in range(2**20))
    with pytest.raises(LlmserveError, match="longer than"):
        list(stream.read(endless, HERE))


@given(cuts=st.lists(st.integers(min_value=0, max_value=700)))
def test_any_cutting_gives_the_same_answer(cuts: list[int]) -> None:
    whole = chunk("", role="assistant") + chunk("réd😀") + chunk("b", reasoning_content="hm") + STOP + DONE
    edges = [0, *sorted(cuts), len(whole)]
    assert read(*(whole[a:b] for a, b in pairwise(edges))) == read(whole)


@given(data=st.binary())
def test_no_bytes_break_it(data: bytes) -> None:
    try:
        read(data)
    except LlmserveError as error:
        assert error.code in ("bad_stream", "stream_cut", "stream_error")  # noqa: PT017 - any other error fails
