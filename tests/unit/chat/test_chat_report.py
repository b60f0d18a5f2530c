from __future__ import annotations

import pytest

from llmserve.chat.answer import Answer, ToolCall
from llmserve.chat.report import as_data, stats, warnings
from llmserve.endpoint.endpoint import Price
from llmserve.endpoint.types import Usage


def call(name: str) -> ToolCall:
    return ToolCall(id="1", name=name, arguments="{}")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(ttft_s=0.084, last_s=2.084, total_s=2.1, usage=Usage(prompt=38, completion=375, total=413)),
         "TTFT 84 ms · 187.0 tok/s · 413 tokens (38 prompt, 375 answer)"),
        (Answer(ttft_s=1.5, last_s=1.5, usage=Usage(prompt=8, completion=9, total=17, cached=7, reasoning=5)),
         "TTFT 1.5 s · 17 tokens (8 prompt incl. 7 cached, 9 answer incl. 5 thinking)"),
        (Answer(ttft_s=0.1, last_s=3.0, total_s=3.2), "TTFT 100 ms · 3.2 s in all, tokens not reported"),
        (Answer(usage=Usage(prompt=8, cached=0)), "tokens (8 prompt)"),
        (Answer(usage=Usage(total=8)), "8 tokens"),
    ],
)  # fmt: skip
def test_stats(answer: Answer, line: str) -> None:
    assert stats(answer) == line


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(content="a", finish_reason="stop"), ""),
        (Answer(content="a"), ""),
        (Answer(content="a", finish_reason="length"), "cut at the token limit"),
        (Answer(reasoning="a", finish_reason="length"), "spent on thinking"),
        (Answer(content="a", finish_reason="content_filter"), "content filter"),
        (Answer(calls=(call("f"), call("g")), finish_reason="tool_calls"), "asked for a tool (f, g)"),
        (Answer(finish_reason="stop"), "The answer is empty."),
    ],
)
def test_warnings(answer: Answer, said: str) -> None:
    assert [said in sentence for sentence in warnings(answer)] == ([True] if said else [])


def test_cost() -> None:
    answer = Answer(usage=Usage(prompt=1_000_000, completion=500_000, total=1_500_000))
    assert stats(answer, Price(prompt=0.5, answer=2)).endswith(" · 1.5000 USD")
    assert stats(Answer(usage=Usage(prompt=10, completion=5)), Price(prompt=1, answer=1)).endswith(" · 0.000015 USD")
    assert "USD" not in stats(Answer(usage=Usage(total=10)), Price(prompt=1, answer=1)), "not reported, not guessed"


def test_data() -> None:
    answer = Answer(
        content="a", finish_reason="stop", usage=Usage(prompt=1, completion=2, total=3), ttft_s=0.5, total_s=1
    )
    usage = {
        "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cached_tokens": None, "reasoning_tokens": None,
    }  # fmt: skip
    assert as_data(answer, "m") == {
        "model": "m", "message": {"role": "assistant", "content": "a"}, "content": "a", "reasoning": None,
        "finish_reason": "stop", "usage": usage,
        "tokens_per_s": None, "ttft_s": 0.5, "total_s": 1,
    }  # fmt: skip
    assert as_data(Answer(), "m")["usage"] is None
