"""``POST /completions``: prompts as text or token ids, one or many; echo, logprobs, n, best_of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.fakes.openai.answer import DONE, Answer, Event, Json, RefusalError, Request
from tests.fakes.openai.chat import bias_of, sampling_of, stops_of, usage_of
from tests.fakes.openai.language import Step, score
from tests.fakes.openai.outputs import Output, spoken, step_text
from tests.fakes.openai.parameters import COMPLETIONS, check
from tests.fakes.openai.settings import Settings
from tests.fakes.openai.tokens import END, SIZE, decode, encode

__all__ = ["answer", "token_lists"]

_DEFAULT_LIMIT = 16


def answer(request: Request, settings: Settings) -> Answer:
    body = request.json
    check(body, COMPLETIONS)
    settings.chat(body["model"])
    bias_of(body)
    prompts = token_lists(body["prompt"], "prompt")
    if body.get("best_of") and body["best_of"] < (body.get("n") or 1):
        raise RefusalError(400, "best_of must be greater than or equal to n.", param="best_of")
    outputs = [(prompt, _output(body, prompt, request, n)) for prompt in prompts for n in range(body.get("n") or 1)]
    for prompt in prompts:
        settings.fit(prompt)
    usage = usage_of(tuple(token for prompt in prompts for token in prompt), [output for _, output in outputs])
    head = {
        "id": f"cmpl-{request.number:024x}", "object": "text_completion", "created": settings.now(),
        "model": settings.chat_model, "system_fingerprint": "fp_44709d6fcb",
    }  # fmt: skip
    if request.streams:
        return Answer(events=[*_events(body, head, outputs, usage), DONE])
    choices = [_choice(body, number, prompt, output) for number, (prompt, output) in enumerate(outputs)]
    return Answer(body={**head, "choices": choices, "usage": usage})


def token_lists(prompt: Any, name: str) -> list[tuple[int, ...]]:
    """Each prompt of the four forms: text, texts, token ids, lists of token ids."""
    if isinstance(prompt, str):
        return [encode(prompt) or (END,)]
    if not prompt:
        raise RefusalError(400, f"Invalid '{name}': empty array.", code="empty_array", param=name)
    if all(isinstance(item, str) for item in prompt):
        return [encode(item) or (END,) for item in prompt]
    lists = prompt if all(isinstance(item, list) for item in prompt) else [prompt]
    for tokens in lists:
        if not tokens or not all(_is_token(token) for token in tokens):
            raise RefusalError(400, f"Invalid '{name}': not a list of token ids.", code="invalid_type", param=name)
    return [tuple(tokens) for tokens in lists]


def _is_token(token: Any) -> bool:
    return isinstance(token, int) and not isinstance(token, bool) and 0 <= token < SIZE


def _output(body: Json, prompt: tuple[int, ...], request: Request, choice: int) -> Output:
    limit = _DEFAULT_LIMIT if body.get("max_tokens") is None else body["max_tokens"]
    seen = (*prompt, *encode(body.get("suffix") or ""))
    return spoken(seen, sampling_of(body, str(request.number), choice), limit=limit, stop=stops_of(body))


def _choice(body: Json, number: int, prompt: tuple[int, ...], output: Output) -> Json:
    echo = bool(body.get("echo"))
    before = score(prompt) if echo and body.get("logprobs") is not None else []
    logprobs = None
    if body.get("logprobs") is not None:
        logprobs = _logprobs([*before, *output.steps], body["logprobs"], first_is_null=bool(before))
    text = (decode(prompt) if echo else "") + output.text
    return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": output.finish}


def _logprobs(steps: Sequence[Step], top: int, *, first_is_null: bool = False, offset: int = 0) -> Json:
    tokens, values, tops, offsets = [], list[float | None](), list[Json | None](), []
    for place, step in enumerate(steps):
        known = not (first_is_null and place == 0)
        best = dict(step.top(top)) | {step.token: step.logprobs[step.token]} if top else {}
        tokens.append(step_text(step))
        values.append(round(step.logprobs[step.token], 6) if known else None)
        tops.append({decode([token]): round(value, 6) for token, value in best.items()} if known and top else None)
        offsets.append(offset)
        offset += len(step_text(step))
    return {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops if top else None, "text_offset": offsets}


def _events(body: Json, head: Json, outputs: list[tuple[tuple[int, ...], Output]], usage: Json) -> Iterator[Event]:
    asked = (body.get("stream_options") or {}).get("include_usage")
    extra: Json = {"usage": None} if asked else {}
    for number, (prompt, output) in enumerate(outputs):
        pieces = ([decode(prompt)] if body.get("echo") else []) + list(output.pieces)
        steps: list[Step | None] = ([None] if body.get("echo") else []) + list(output.steps)
        offset = 0
        for piece, step in zip(pieces, steps, strict=True):
            logprobs = None
            if step and body.get("logprobs") is not None:
                logprobs = _logprobs([step], body["logprobs"], offset=offset)
            yield _event(head, number, piece, None, logprobs, extra)
            offset += len(piece)
        yield _event(head, number, "", output.finish, None, extra)
    if asked:
        yield Event({**head, "choices": [], "usage": usage})


def _event(head: Json, number: int, text: str, finish: str | None, logprobs: Json | None, extra: Json) -> Event:
    choice = {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish}
    return Event({**head, "choices": [choice], **extra})
