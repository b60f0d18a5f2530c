"""Every field of every object, with what can be wrong about any field: a class of faults rather than a list of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import Answer, Json, Request
from tests.fakes.openai.deviation import Change, Deviation, body, chunks, refusals

__all__ = ["DEVIATIONS", "walk"]

_ABSENT = object()
FAULTS: Mapping[str, Callable[[Any], Any]] = {
    "absent": lambda _: _ABSENT,
    "null": lambda _: None,
    "number": lambda _: 7,
    "text": str,
    "listed": lambda value: [value],
    "object": lambda value: {"value": value},
    "empty": lambda value: type(value)() if isinstance(value, str | list | dict) else "",
    "upper": lambda value: str(value).upper(),
    "half": lambda value: value + 0.5,
    "negative": lambda _: -1,
    "one-more": lambda value: value + 1,
}
_WORD, _NAME = "absent null number listed upper", "absent null number empty object"
_COUNT, _NUMBER = "absent null text half negative", "absent null text listed"
_OBJECT, _LIST = "absent null text listed", "absent null object empty"

CHAT = {
    "id": _NAME, "object": _WORD, "created": _COUNT, "model": _NAME, "choices": _LIST, "choices.*.index": _COUNT,
    "choices.*.message": _OBJECT, "choices.*.message.role": _WORD, "choices.*.message.content": "number listed object",
    "choices.*.finish_reason": _WORD, "usage": _OBJECT, "usage.prompt_tokens": _COUNT,
    "usage.completion_tokens": f"{_COUNT} one-more", "usage.total_tokens": f"{_COUNT} one-more",
}  # fmt: skip
CALLS = {
    "choices.*.message.tool_calls": "absent null object empty", "choices.*.message.tool_calls.*.id": _NAME,
    "choices.*.message.tool_calls.*.type": "absent null upper", "choices.*.message.tool_calls.*.function": _OBJECT,
    "choices.*.message.tool_calls.*.function.name": _NAME,
    "choices.*.message.tool_calls.*.function.arguments": "absent null number listed object empty",
}  # fmt: skip
LOGPROBS = {
    "choices.*.logprobs.content": _LIST, "choices.*.logprobs.content.*.token": "absent null number",
    "choices.*.logprobs.content.*.logprob": _NUMBER, "choices.*.logprobs.content.*.bytes": "text number object",
    "choices.*.logprobs.content.*.top_logprobs": _LIST,
    "choices.*.logprobs.content.*.top_logprobs.*.token": "absent null number",
    "choices.*.logprobs.content.*.top_logprobs.*.logprob": _NUMBER,
}  # fmt: skip
CHUNK = {
    "id": _NAME, "object": _WORD, "created": _COUNT, "model": "absent null number", "choices": "absent null object",
    "choices.*.index": _COUNT, "choices.*.delta": _OBJECT, "choices.*.delta.role": "absent number upper",
    "choices.*.delta.content": "number listed object", "choices.*.finish_reason": "number upper listed",
    "usage.prompt_tokens": "absent text one-more", "usage.completion_tokens": "absent text one-more",
    "usage.total_tokens": "absent text one-more",
}  # fmt: skip
CALL_DELTAS = {
    "choices.*.delta.tool_calls": "object absent", "choices.*.delta.tool_calls.*.index": "absent null text one-more",
    "choices.*.delta.tool_calls.*.id": _NAME, "choices.*.delta.tool_calls.*.function": "absent null text",
    "choices.*.delta.tool_calls.*.function.name": _NAME,
    "choices.*.delta.tool_calls.*.function.arguments": "object number listed absent",
}  # fmt: skip
COMPLETION = {
    "id": "absent null number empty", "object": _WORD, "created": _COUNT, "choices": _LIST, "choices.*.index": _COUNT,
    "choices.*.text": "absent null number listed", "choices.*.finish_reason": "absent null number upper",
    "usage.total_tokens": "absent text one-more", "choices.*.logprobs.tokens": "absent null object",
    "choices.*.logprobs.token_logprobs": "absent null object",
}  # fmt: skip
EMBEDDING = {
    "object": "absent null upper", "data": _LIST, "data.*.object": "absent null upper",
    "data.*.index": "absent null text one-more negative", "data.*.embedding": "absent null text listed empty",
    "model": "absent null number", "usage": "absent null listed", "usage.total_tokens": "absent text one-more",
}  # fmt: skip
MODELS = {
    "object": "absent null upper", "data": _LIST, "data.*.id": _NAME, "data.*.object": "absent null upper",
    "data.*.created": _COUNT, "data.*.owned_by": "absent null number",
}  # fmt: skip
ERROR = {
    "error": "text listed absent null", "error.message": f"{_NAME} listed", "error.type": "absent null number listed",
    "error.code": "absent number listed object", "error.param": "absent number listed",
}  # fmt: skip
RESPONSE = {
    "id": _NAME, "object": "absent null upper", "created_at": "absent null text", "status": "absent null upper number",
    "output": _LIST, "output.*.id": "absent null number", "output.*.type": "absent null upper",
    "output.*.role": "absent upper", "output.*.content": "absent null text object",
    "output.*.content.*.type": "absent upper", "output.*.content.*.text": "absent null number listed",
    "usage": "absent listed", "usage.input_tokens": "absent text one-more", "usage.total_tokens": "absent one-more",
    "tools": "absent null object", "output.*.call_id": "absent null", "output.*.arguments": "absent object empty",
}  # fmt: skip
EVENT = {
    "type": "absent upper", "sequence_number": "absent text negative", "item_id": "absent null",
    "output_index": "absent text one-more", "delta": "absent null listed", "text": "absent null",
    "item": "absent null", "part": "absent null", "response": "absent null", "arguments": "absent object",
}  # fmt: skip


def walk(data: Any, path: str) -> Iterator[tuple[Any, Any]]:
    """Each place that ``path`` leads to, as (container, key); ``*`` stands for every element of a list."""
    step, _, rest = path.partition(".")
    keys = range(len(data)) if step == "*" and isinstance(data, list) else [step] if isinstance(data, dict) else []
    for key in keys:
        if step == "*" or key in data:
            yield from walk(data[key], rest) if rest else [(data, key)]


def _spoilt(path: str, fault: str) -> Change:
    def change(data: Json) -> None:
        for place, key in list(walk(data, path)):
            made = FAULTS[fault](place[key])
            if made is _ABSENT:
                del place[key]
            else:
                place[key] = made

    return change


def _refused(change: Change) -> dict[str, Any]:
    def spoil(given: Answer) -> Answer:
        data = copy.deepcopy(given.body)
        change(data)
        return replace(given, body=data)

    return refusals(spoil)


def _one_model(change: Change) -> dict[str, Any]:
    def answer(request: Request, given: Answer) -> Answer:
        if not request.route.startswith("models/") or given.status != 200:
            return given
        data = copy.deepcopy(given.body)
        change(data)
        return replace(given, body=data)

    return {"answer": answer}


def _grid(
    name: str,
    areas: tuple[str, ...],
    table: Mapping[str, str],
    how: Callable[[Change], dict[str, Any]],
    *,
    follows: tuple[str, ...] = (),
) -> Iterator[Deviation]:
    for path, faults in table.items():
        for fault in faults.split():
            yield Deviation(name=f"{name}:{path}:{fault}", areas=areas, follows=follows, **how(_spoilt(path, fault)))


DEVIATIONS = (
    *_grid("chat", ("chat",), CHAT, body),
    *_grid("call", ("tools",), CALLS, body, follows=("chat.every.*",)),
    *_grid("logprob", ("parameters", "chat"), LOGPROBS, body),
    *_grid("chunk", ("streaming",), CHUNK, chunks),
    *_grid("call-delta", ("tools-streamed",), CALL_DELTAS, chunks),
    *_grid("completion", ("completions",), COMPLETION, lambda change: body(change, "completions")),
    *_grid("embedding", ("embeddings",), EMBEDDING, lambda change: body(change, "embeddings")),
    *_grid("models", ("models",), MODELS, lambda change: body(change, "models")),
    *_grid("model", ("models",), {"id": "absent null upper", "object": "absent", "created": "text"}, _one_model),
    *_grid("error", ("errors",), ERROR, _refused),
    *_grid("response", ("responses",), RESPONSE, lambda change: body(change, "responses")),
    *_grid("event", ("responses",), EVENT, lambda change: chunks(change, "responses")),
)
