from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.endpoint.types import ChatRequest, Delta, ServedModel, ToolFragment, Usage
from llmserve.endpoint.wire import chunk, completion, load, models


def delta(**said: Any) -> Delta:
    (piece,) = chunk({"choices": [{"index": 0, "delta": said}]})
    assert isinstance(piece, Delta)
    return piece


def test_request_body() -> None:
    request = ChatRequest(model="m", messages=({"role": "user", "content": "hi"},), sampling={"max_tokens": 5})
    assert request.body(stream=False) == {
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5,
    }  # fmt: skip
    assert request.body(stream=True)["stream_options"] == {"include_usage": True}
    without = ChatRequest(model="m", messages=(), include_usage=False)
    assert "stream_options" not in without.body(stream=True)


@pytest.mark.parametrize(
    "data",
    [
        {}, {"choices": None}, {"choices": []}, {"choices": {}}, {"choices": [None, "x"]}, {"usage": None},
        {"usage": {}}, {"usage": {"prompt_tokens": "x"}},
    ],
)  # fmt: skip
def test_chunks_with_nothing_in_them(data: dict[str, Any]) -> None:
    assert chunk(data) == []


@pytest.mark.parametrize("choice", [{}, {"delta": None}, {"delta": {}}, {"delta": {"content": None}, "index": None}])
def test_empty_deltas(choice: dict[str, Any]) -> None:
    assert chunk({"choices": [choice]}) == [Delta()]


@pytest.mark.parametrize(
    "said",
    [{"reasoning_content": "hm"}, {"reasoning": "hm"}, {"reasoning_content": "hm", "reasoning": "hm"},
     {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}],
)  # fmt: skip
def test_reasoning_under_each_name(said: dict[str, Any]) -> None:
    assert delta(**said) == Delta(reasoning="hm")


def test_content_in_parts() -> None:
    assert (
        delta(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image"}]).content == "ab"
    )


def test_a_message_instead_of_a_delta() -> None:
    assert chunk({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}) == [
        Delta(content="a", finish_reason="stop")
    ]


def test_tool_fragments() -> None:
    calls = [
        {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "function": {"arguments": '{"a"'}},
        {"function": None},
    ]
    assert delta(tool_calls=calls).tool_calls == (
        ToolFragment(index=0, id="x", name="f"),
        ToolFragment(index=1, arguments='{"a"'),
        ToolFragment(),
    )


def test_usage_comes_after_the_delta_of_its_chunk() -> None:
    data = {"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    assert chunk(data) == [Delta(content="a"), Usage(prompt=3, completion=1, total=4)]


def test_usage_details() -> None:
    usage = {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }  # fmt: skip
    assert chunk({"usage": usage}) == [Usage(prompt=10, completion=5, total=15, cached=8, reasoning=2)]
    sglang = {"prompt_tokens": 1, "reasoning_tokens": 2, "prompt_tokens_details": None}
    assert chunk({"usage": sglang}) == [Usage(prompt=1, reasoning=2)]


def test_completion() -> None:
    answer = completion({"model": "m", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]})
    assert answer is not None
    assert (answer.content, answer.finish_reason, answer.model, answer.usage) == ("a", "stop", "m", None)
    assert completion({"choices": []}) is None
    assert completion({"choices": [{"message": None}]}) is None


def test_models() -> None:
    served = models({"data": [{"id": "a", "owned_by": "me", "max_model_len": 4096}, {"id": None}, {"id": "b"}]})
    assert served == [ServedModel(id="a", owned_by="me", context=4096), ServedModel(id="b")]
    assert models([{"id": "a", "meta": {"n_ctx": 2048}}]) == [ServedModel(id="a", context=2048)]
    assert models({"object": "list", "data": None}) == []
    assert models({"error": "x"}) is None
    assert models("x") is None


def test_json_that_is_nested_too_deep_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        load("[" * 1_000_000)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["choices", "delta", "message", "content", "usage", "tool_calls", "function", "index", "text",
                         "prompt_tokens", "prompt_tokens_details", "data", "id", "thinking", "finish_reason"]), inner),
)  # fmt: skip


@settings(max_examples=50)
@given(data=st.dictionaries(st.sampled_from(["choices", "usage", "data", "model"]), _JSON))
def test_no_json_breaks_it(data: dict[str, Any]) -> None:
    assert all(isinstance(piece, (Delta, Usage)) for piece in chunk(data))
    completion(data)
    models(data)
