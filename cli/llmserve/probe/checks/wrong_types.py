"""Every parameter with a value of another type, or out of its bounds: refused before anything is generated.

One table for each route. A server that takes them either ignores the parameter or fails later in its own words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmserve.probe.check import COSMETIC, Check, Finding, in_area
from llmserve.probe.checks import embeddings, responses
from llmserve.probe.context import Context
from llmserve.probe.dig import short
from llmserve.probe.judging import refused

CHAT: dict[str, Any] = {
    "top_p": "most", "top_p.negative": -0.5, "max_completion_tokens": "few", "max_completion_tokens.negative": -1,
    "n": "two", "stop": {"at": "end"}, "seed": "seven", "frequency_penalty": "much", "presence_penalty": "much",
    "presence_penalty.range": 9, "top_logprobs": "three", "top_logprobs.negative": -1, "logit_bias": [1, 2],
    "tools": "none", "tool_choice": "perhaps", "response_format": "json",
}  # fmt: skip
"""Beside those that :mod:`llmserve.probe.checks.bad_requests` looks at by name."""
COMPLETIONS: dict[str, Any] = {
    "prompt": {"text": "hi"}, "max_tokens": "many", "max_tokens.negative": -1, "temperature": "hot",
    "temperature.range": 9, "top_p": 2, "n": 0, "stop": {"at": "end"}, "logprobs": "all", "logprobs.range": 6,
    "stream": "perhaps",
}  # fmt: skip
EMBEDDINGS: dict[str, Any] = {"input": {"text": "hi"}, "dimensions": "many", "dimensions.zero": 0}
RESPONSES: dict[str, Any] = {
    "input": 7, "temperature": "hot", "temperature.range": 9, "top_p": 2, "max_output_tokens": "many",
    "max_output_tokens.zero": 0, "tools": "none", "stream": "perhaps",
}  # fmt: skip
_NEED_LOGPROBS = ("top_logprobs",)


def _chat(ctx: Context, field: str, value: Any) -> Finding:
    more: dict[str, Any] = {"logprobs": True} if field in _NEED_LOGPROBS else {}
    more |= {"tools": [_TOOL]} if field == "tool_choice" else {}
    tokens = None if field == "max_completion_tokens" else 8
    return _judged(ctx.chat(tokens=tokens, **(more | {field: value})), field, value)


_TOOL = {"type": "function", "function": {"name": "probe", "parameters": {"type": "object", "properties": {}}}}


def _completion(ctx: Context, field: str, value: Any) -> Finding:
    body = ctx.completion_body("Once upon a time", 8) | {field: value}
    return _judged(ctx.post("/completions", body), field, value)


def _embedding(ctx: Context, field: str, value: Any) -> Finding:
    fields = {} if field == "input" else {field: value}
    return _judged(embeddings.embed(ctx, value if field == "input" else "rain", **fields), field, value)


def _response(ctx: Context, field: str, value: Any) -> Finding:
    return _judged(ctx.post("/responses", responses.body_of(ctx, "Say hello.") | {field: value}), field, value)


def _judged(answer: Any, field: str, value: Any) -> Finding:
    return refused(answer, what=f"{field} {short(repr(value), 30)}")


def _checks(area: str, prefix: str, needs: tuple[str, ...], table: dict[str, Any], ask: Any) -> Iterable[Check]:
    check = in_area(area, needs=needs)
    for name, value in table.items():
        field = name.partition(".")[0]

        def wrong(ctx: Context, field: str = field, value: Any = value) -> Finding:
            found: Finding = ask(ctx, field, value)
            return found

        yield check(
            f"{prefix}.{name}", f"{field} {short(repr(value), 30)} is refused", COSMETIC, requests=1, tokens=16,
            expects="400", source="spec: type and bounds of the field",
        )(wrong)  # fmt: skip


checks = [
    *_checks("errors", "error.type", ("chat",), CHAT, _chat),
    *_checks("completions", "completions.type", ("completions",), COMPLETIONS, _completion),
    *_checks("embeddings", "embeddings.type", ("embeddings",), EMBEDDINGS, _embedding),
    *_checks("responses", "responses.type", ("responses",), RESPONSES, _response),
]
