"""``POST /chat/completions``: validated, answered by the pseudo-model, whole or as chunks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any

from tests.fakes.openai import constrained
from tests.fakes.openai.answer import DONE, Answer, Event, Json, RefusalError, Request
from tests.fakes.openai.language import Sampling, Step
from tests.fakes.openai.outputs import Output, called, forced, spoken, wanted_calls
from tests.fakes.openai.parameters import CHAT, check
from tests.fakes.openai.prompt import of_chat
from tests.fakes.openai.settings import Settings
from tests.fakes.openai.tokens import SIZE, encode, piece

__all__ = ["answer", "bias_of", "outputs_of", "sampling_of", "stops_of", "usage_of"]


def answer(request: Request, settings: Settings) -> Answer:
    body = request.json
    check(body, CHAT)
    _check_together(body, settings)
    prompt = of_chat(body)
    settings.fit(prompt)
    outputs = outputs_of(body, prompt, settings, str(request.number))
    usage = usage_of(prompt, outputs)
    head = _head(request, settings)
    if request.streams:
        return Answer(events=[*_events(body, head, outputs, usage, settings.reasoning), DONE])
    choices = [_choice(body, number, output, settings) for number, output in enumerate(outputs)]
    return Answer(body={**head, "object": "chat.completion", "choices": choices, "usage": usage, **_tail()})


def _head(request: Request, settings: Settings) -> Json:
    return {"id": f"chatcmpl-{request.number:024x}", "created": settings.now(), "model": settings.chat_model}


def _tail() -> Json:
    return {"service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}


def _check_together(body: Json, settings: Settings) -> None:
    settings.chat(body["model"])
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise RefusalError(400, message, param="top_logprobs")
    for name in ("max_tokens", "max_completion_tokens"):
        if (body.get(name) or 0) > settings.context:
            message = f"{name} is too large: {body[name]}. This model supports at most {settings.context} tokens."
            raise RefusalError(400, message, code="invalid_value", param=name)
    if "audio" in (body.get("modalities") or []):
        message = "This model does not support audio output."
        raise RefusalError(400, message, code="unsupported_value", param="modalities")
    bias_of(body)
    _check_tools(body)
    _check_format(body.get("response_format") or {})


def _check_tools(body: Json) -> None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    if isinstance(body.get("tools"), list) and not tools:
        raise RefusalError(400, "Invalid 'tools': empty array.", code="empty_array", param="tools")
    for place, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        where = f"tools[{place}]"
        if not isinstance(function, dict):
            message = "This model supports only tools of type 'function'."
            raise RefusalError(400, message, code="unsupported_value", param=f"{where}.type")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(function.get("name"))):
            raise RefusalError(
                400, f"Invalid '{where}.function.name'.", code="invalid_value", param=f"{where}.function.name"
            )
        wrong = constrained.broken(function.get("parameters") or {})
        if wrong:
            message = f"Invalid schema for function '{function['name']}': {wrong}"
            raise RefusalError(400, message, code="invalid_function_parameters", param=f"{where}.function.parameters")
    names = {tool["function"]["name"] for tool in tools}
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise RefusalError(400, f"Invalid value: '{choice}'.", code="invalid_value", param="tool_choice")
    if choice in ("auto", "required") and not tools:
        raise RefusalError(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        if choice.get("type") == "function" and wanted not in names:
            raise RefusalError(400, f"Tool choice '{wanted}' not found in 'tools' parameter.", param="tool_choice")
        if choice.get("type") not in ("function", "allowed_tools"):
            raise RefusalError(400, "Invalid 'tool_choice.type'.", code="invalid_value", param="tool_choice.type")


def _check_format(wanted: Json) -> None:
    kind = wanted.get("type", "text")
    if kind not in ("text", "json_object", "json_schema"):
        message = f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'."
        raise RefusalError(400, message, code="invalid_value", param="response_format.type")
    if kind != "json_schema":
        return
    inner = wanted.get("json_schema")
    for name in ("name", "schema"):
        if not isinstance(inner, dict) or name not in inner:
            where = f"response_format.json_schema.{name}"
            raise RefusalError(
                400, f"Missing required parameter: '{where}'.", code="missing_required_parameter", param=where
            )
    wrong = constrained.broken(inner["schema"] if isinstance(inner, dict) else {})
    if wrong:
        raise RefusalError(400, f"Invalid schema for response_format: {wrong}", param="response_format")


def bias_of(body: Json) -> dict[int, float]:
    bias: dict[int, float] = {}
    for token, weight in (body.get("logit_bias") or {}).items():
        whole = token.isascii() and token.isdigit() and int(token) < SIZE
        if not whole or isinstance(weight, bool) or not isinstance(weight, int | float) or not -100 <= weight <= 100:
            raise RefusalError(
                400, f"Invalid key or value in 'logit_bias': {token}.", code="invalid_value", param="logit_bias"
            )
        bias[int(token)] = weight
    return bias


def stops_of(body: Json) -> tuple[str, ...]:
    stop = body.get("stop") or []
    return (stop,) if isinstance(stop, str) else tuple(word for word in stop if word)


def sampling_of(body: Json, made_up_seed: str, choice: int) -> Sampling:
    seed = body.get("seed")
    temperature, top_p = body.get("temperature"), body.get("top_p")
    temperature = 1.0 if temperature is None else temperature
    return Sampling(
        temperature=temperature,
        top_p=1.0 if top_p is None else top_p,
        seed=f"{made_up_seed if seed is None else seed}/{choice}" if temperature else "",
        bias=tuple(bias_of(body).items()),
        frequency_penalty=body.get("frequency_penalty") or 0.0,
        presence_penalty=body.get("presence_penalty") or 0.0,
    )


def outputs_of(body: Json, prompt: tuple[int, ...], settings: Settings, number: str) -> list[Output]:
    """What is said, for each of the ``n`` choices."""
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    limit = min(limits, default=None)
    calls = wanted_calls(body, prompt, _last_user_text(body))
    outputs = []
    for choice in range(body.get("n") or 1):
        thoughts = settings.thoughts(body, prompt)
        room = None if limit is None else max(0, limit - len(encode(thoughts)))
        if calls:
            named = isinstance(body.get("tool_choice"), dict) and body["tool_choice"].get("type") == "function"
            output = called(calls, finish="stop" if named else "tool_calls", limit=room)
        elif wanted := _dictated(body, prompt, choice):
            output = forced(wanted, limit=room, before=prompt, logprobs=bool(body.get("logprobs")))
        else:
            output = spoken(prompt, sampling_of(body, number, choice), limit=room, stop=stops_of(body))
        outputs.append(settings.thinking(output, thoughts, limit))
    return outputs


def _last_user_text(body: Json) -> str:
    content = body["messages"][-1].get("content") if body["messages"][-1].get("role") == "user" else ""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content)
    return content or ""


def _dictated(body: Json, prompt: tuple[int, ...], choice: int) -> str | None:
    wanted = body.get("response_format") or {}
    seed = f"{body.get('seed')}/{choice}/{len(prompt)}"
    if wanted.get("type") == "json_schema":
        return constrained.text(wanted["json_schema"]["schema"], seed)
    return constrained.object_text(seed) if wanted.get("type") == "json_object" else None


def usage_of(prompt: tuple[int, ...], outputs: list[Output]) -> Json:
    said = sum(output.count for output in outputs)
    thought = sum(output.thinking for output in outputs)
    return {
        "prompt_tokens": len(prompt),
        "completion_tokens": said,
        "total_tokens": len(prompt) + said,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


def _choice(body: Json, number: int, output: Output, settings: Settings) -> Json:
    message: Json = {"role": "assistant", "content": None if output.calls else output.text, "refusal": None}
    message["annotations"] = []
    if output.thoughts:
        message[settings.reasoning] = output.thoughts
    if output.calls:
        message["tool_calls"] = [
            {"id": _call_id(body, number, place), "type": "function", "function": vars(call)}
            for place, call in enumerate(output.calls)
        ]
    return {
        "index": number, "message": message, "finish_reason": output.finish,
        "logprobs": _logprobs(output.steps, body) if body.get("logprobs") else None,
    }  # fmt: skip


def _call_id(body: Json, choice: int, place: int) -> str:
    return f"call_{zlib.crc32(f'{body}/{choice}/{place}'.encode('utf-8', 'replace')):018d}"


def _logprobs(steps: Any, body: Json) -> Json:
    return {"content": [_logprob(step, body.get("top_logprobs") or 0) for step in steps], "refusal": None}


def _logprob(step: Step, top: int) -> Json:
    def entry(token: int, logprob: float) -> Json:
        bytes_ = piece(token)
        return {"token": bytes_.decode("utf-8", "replace"), "logprob": round(logprob, 6), "bytes": list(bytes_)}

    inner = [entry(token, logprob) for token, logprob in step.top(top)]
    return {**entry(step.token, step.logprobs[step.token]), "top_logprobs": inner}


def _events(body: Json, head: Json, outputs: list[Output], usage: Json, reasoning: str) -> Iterator[Event]:
    options = body.get("stream_options") or {}
    shared = {**head, "object": "chat.completion.chunk", **_tail()}
    extra: Json = {"usage": None} if options.get("include_usage") else {}
    if options.get("include_obfuscation", True) is not False:
        extra["obfuscation"] = "aZ3kQ"
    for number, output in enumerate(outputs):
        for delta, finish, logprobs in _deltas(body, number, output, reasoning):
            choice = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            yield Event({**shared, "choices": [choice], **extra})
    if options.get("include_usage"):
        yield Event({**shared, "choices": [], **extra, "usage": usage})


def _deltas(body: Json, number: int, output: Output, reasoning: str) -> Iterator[tuple[Json, str | None, Json | None]]:
    yield {"role": "assistant", "content": None if output.calls else "", "refusal": None}, None, None
    for start in range(0, len(output.thoughts), 12):
        yield {reasoning: output.thoughts[start : start + 12]}, None, None
    for place, call in enumerate(output.calls):
        function = {"name": call.name, "arguments": ""}
        first = {"index": place, "id": _call_id(body, number, place), "type": "function", "function": function}
        yield {"tool_calls": [first]}, None, None
        for start in range(0, len(call.arguments), 6):
            piece_ = {"index": place, "function": {"arguments": call.arguments[start : start + 6]}}
            yield {"tool_calls": [piece_]}, None, None
    for step, said in zip(output.steps, output.pieces, strict=True):
        yield {"content": said}, None, _logprobs([step], body) if body.get("logprobs") else None
    yield {}, output.finish, None
