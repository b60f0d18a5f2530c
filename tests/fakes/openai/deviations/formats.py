"""Structured output, thoughts and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import Answer, Event, Json, Request
from tests.fakes.openai.deviation import Deviation, answering, asking, body, choices, chunks, deltas, events, loaded

CHAT = "chat/completions"
_ORDER = ("minItems", "maxItems", "minLength", "maxLength", "pattern", "minimum", "maximum")


def _wants(request: Request) -> str:
    wanted = request.json.get("response_format")
    return str(wanted.get("type", "")) if isinstance(wanted, dict) else ""


def _whole(change: Callable[[str], str], kind: str = "json_schema") -> Any:
    """The text of structured answers."""

    def answer(request: Request, given: Answer) -> Answer:
        if given.status != 200 or given.body is None or _wants(request) != kind:
            return given
        for choice in given.body["choices"]:
            choice["message"]["content"] = change(choice["message"]["content"] or "")
        return given

    return answering(answer, CHAT)


def _value(change: Callable[[Json], Any]) -> Any:
    def one(text: str) -> str:
        found = loaded(text, None)
        return text if not isinstance(found, dict) else json.dumps(change(found), ensure_ascii=False)

    return _whole(one)


def _ignoring(*kinds: str, streams: bool | None = None) -> Any:
    def ask(request: Request) -> Request:
        wanted = _wants(request) in kinds and streams in (None, request.streams)
        return request.without("response_format") if wanted else request

    return asking(ask, CHAT)


def _without_keywords(*names: str) -> Any:
    """Schemas whose ``names`` are not looked at."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: strip(value) for key, value in node.items() if key not in names}
        return [strip(item) for item in node] if isinstance(node, list) else node

    def ask(request: Request) -> Request:
        found = request.json.get("response_format")
        return request.having(response_format=strip(found)) if _wants(request) == "json_schema" else request

    return asking(ask, CHAT)


def _crash(wrong: Callable[[Request], Any], status: int = 500) -> Any:
    def answer(request: Request, given: Answer) -> Answer:
        inner = {"message": "no", "type": "server_error", "param": None, "code": None}
        return Answer(status=status, body={"error": inner}) if wrong(request) else given

    return answering(answer, CHAT)


def _swap_thoughts(data: Json) -> None:
    for choice in data.get("choices") or []:
        if "reasoning_content" in choice["delta"]:
            choice["delta"]["reasoning"] = choice["delta"].pop("reasoning_content")


def _in_text(choice: Json) -> None:
    thoughts = choice["message"].pop("reasoning_content", "")
    choice["message"]["content"] = f"<think>{thoughts}</think>{choice['message']['content'] or ''}"


def _thoughts_last(given: list[Event]) -> list[Event]:
    def thinks(event: Event) -> bool:
        found = event.data["choices"] if not isinstance(event.data, str) else []
        return bool(found and "reasoning_content" in found[0]["delta"])

    thoughts = [event for event in given if thinks(event)]
    rest = [event for event in given if not thinks(event)]
    return [*rest[:-2], *thoughts, *rest[-2:]] if len(rest) > 2 else given


def _details(change: Callable[[Json], Any]) -> Any:
    return body(lambda data: change(data["usage"]))


def _blind(request: Request) -> Request:
    messages = request.json.get("messages")
    if not isinstance(messages, list):
        return request
    return request.having(messages=[_without_pictures(message) for message in messages])


def _without_pictures(message: Any) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    return message | {"content": [part for part in message["content"] if part.get("type") != "image_url"]}


def _one_picture(request: Request) -> Request:
    messages = request.json.get("messages")
    if not isinstance(messages, list) or not isinstance(messages[-1].get("content"), list):
        return request
    kept: list[Any] = []
    for part in messages[-1]["content"]:
        if part.get("type") != "image_url" or not any(one.get("type") == "image_url" for one in kept):
            kept.append(part)
    return request.having(messages=[*messages[:-1], messages[-1] | {"content": kept}])


def _has(kind: str) -> Callable[[Request], bool]:
    return lambda request: f"'type': '{kind}'" in str(request.json.get("messages"))


def _detail(request: Request) -> bool:
    return "'detail'" in str(request.json.get("messages"))


STRUCTURED = (
    Deviation(name="format-refused", areas=("structured",),
              **_crash(lambda request: _wants(request) == "json_schema", 422)
              | answering(lambda request, given: Answer(status=422, body={"detail": "no"})
                          if _wants(request) == "json_schema" else given, CHAT)),
    Deviation(name="format-500", areas=("structured",), **_crash(lambda request: _wants(request) == "json_schema")),
    Deviation(name="format-ignored", areas=("structured",), **_ignoring("json_schema", "json_object")),
    Deviation(name="schema-ignored", areas=("structured",), **_ignoring("json_schema")),
    Deviation(name="schema-ignored-streamed", areas=("structured",), **_ignoring("json_schema", streams=True)),
    Deviation(name="schema-ignored-whole", areas=("structured",), **_ignoring("json_schema", streams=False)),
    Deviation(name="object-ignored", areas=("structured",), **_ignoring("json_object")),
    Deviation(name="object-as-list", areas=("structured",), **_whole(lambda text: f"[{text}]", "json_object")),
    Deviation(name="schema-as-object", areas=("structured",), **asking(
        lambda request: request.having(response_format={"type": "json_object"})
        if _wants(request) == "json_schema" else request, CHAT)),
    Deviation(name="format-fenced", areas=("structured",), **_whole(lambda text: f"```json\n{text}\n```")),
    Deviation(name="format-chatty", areas=("structured",), **_whole(lambda text: f"Here you are: {text}")),
    Deviation(name="format-python", areas=("structured",), **_whole(lambda text: str(loaded(text, text)))),
    Deviation(name="format-twice-encoded", areas=("structured",), **_whole(json.dumps)),
    Deviation(name="format-trailing-comma", areas=("structured",), **_whole(lambda text: text[:-1] + ",}")),
    Deviation(name="format-parsed-object", areas=("structured",), **_whole(lambda text: loaded(text, text))),
    Deviation(name="schema-extra-key", areas=("structured",), **_value(lambda found: found | {"note": "x"})),
    Deviation(name="schema-key-missing", areas=("structured",), **_value(lambda found: dict(list(found.items())[1:]))),
    Deviation(name="schema-booleans-text", areas=("structured",), **_value(
        lambda found: {key: str(value).lower() if isinstance(value, bool) else value for key, value in found.items()})),
    Deviation(name="schema-enum-upper", areas=("structured",), **_value(
        lambda found: {key: value.upper() if isinstance(value, str) else value for key, value in found.items()})),
    Deviation(name="schema-second-choice-free", areas=("structured",), **choices(
        lambda choice: choice["message"].update(content="free text")
        if choice["index"] == 1 and choice["message"]["content"] and choice["message"]["content"].startswith("{")
        else None)),
    Deviation(name="keywords-items-ignored", areas=("structured",), **_without_keywords("minItems", "maxItems")),
    Deviation(name="keywords-length-ignored", areas=("structured",), **_without_keywords("minLength", "maxLength")),
    Deviation(name="keywords-pattern-ignored", areas=("structured",), **_without_keywords("pattern")),
    Deviation(name="keywords-bounds-ignored", areas=("structured",), **_without_keywords("minimum", "maximum")),
    Deviation(name="keywords-const-ignored", areas=("structured",), **_without_keywords("const")),
    Deviation(name="keywords-any-of-ignored", areas=("structured",), **_without_keywords("anyOf")),
    Deviation(name="keywords-ref-500", areas=("structured",), **_crash(lambda request: "$ref" in str(request.json))),
    Deviation(name="utf8-split", areas=("structured",), **_whole(
        lambda text: text.encode("ascii", "replace").decode().replace("?", "�"))),
    Deviation(name="utf8-split-streamed", areas=("structured",), **deltas(
        lambda choice, delta: delta.update(content="�")
        if delta.get("content") and not delta["content"].isascii() else None)),
    Deviation(name="utf8-latin", areas=("structured",), **_whole(
        lambda text: text.encode("utf-8").decode("latin-1"))),
    Deviation(name="bad-schema-500", areas=("structured",), **_crash(
        lambda request: "hiccup" in str(request.json.get("response_format")))),
    Deviation(name="bad-schema-taken", areas=("structured",), **asking(
        lambda request: request.without("response_format")
        if "hiccup" in str(request.json.get("response_format")) else request, CHAT)),
    Deviation(name="bad-format-taken", areas=("structured",), **_ignoring("sound")),
    Deviation(name="no-name-500", areas=("structured",), **_crash(
        lambda request: _wants(request) == "json_schema"
            and "name" not in request.json["response_format"]["json_schema"])),
    Deviation(name="format-text-refused", areas=("structured",),
              **_crash(lambda request: _wants(request) == "text", 400)),
    Deviation(name="format-with-tools-refused", areas=("structured",), **_crash(
        lambda request: _wants(request) == "json_schema" and bool(request.json.get("tools")))),
    Deviation(name="format-finish-length", areas=("structured",), **answering(
        lambda request, given: replace(given, body=given.body | {"choices": [
            choice | {"finish_reason": "eos"} for choice in given.body["choices"]]})
        if given.status == 200 and given.body and _wants(request) == "json_schema" else given, CHAT)),
)  # fmt: skip

_THINKS = "reasoning_content"
REASONING = (
    Deviation(name="thoughts-two-names", areas=("reasoning",), reasoning=_THINKS, **chunks(_swap_thoughts)),
    Deviation(name="thoughts-not-streamed", areas=("reasoning",), reasoning=_THINKS,
              **deltas(lambda choice, delta: delta.pop("reasoning_content", None))),
    Deviation(name="thoughts-streamed-only", areas=("reasoning",), reasoning=_THINKS,
              **choices(lambda choice: choice["message"].pop("reasoning_content", None) and None)),
    Deviation(name="thoughts-in-text", areas=("reasoning",), reasoning=_THINKS, **choices(_in_text)),
    Deviation(name="thoughts-after-text", areas=("reasoning",), reasoning=_THINKS, **events(_thoughts_last)),
    Deviation(name="thoughts-not-counted", areas=("reasoning",), reasoning=_THINKS, **_details(
        lambda usage: usage["completion_tokens_details"].update(reasoning_tokens=0))),
    Deviation(name="thoughts-no-details", areas=("reasoning",), reasoning=_THINKS, **_details(
        lambda usage: usage.update(completion_tokens_details=None))),
    Deviation(name="thoughts-more-than-all", areas=("reasoning",), reasoning=_THINKS, **_details(
        lambda usage: usage["completion_tokens_details"].update(reasoning_tokens=999))),
    Deviation(name="thoughts-streamed-others", areas=("reasoning",), reasoning=_THINKS, **deltas(
        lambda choice, delta: delta.update(reasoning_content="hm ") if "reasoning_content" in delta else None)),
    Deviation(name="thoughts-refused-back", areas=("reasoning", "messages"), reasoning=_THINKS, **_crash(
        lambda request: any("reasoning_content" in message for message in request.json.get("messages") or []
                            if isinstance(message, dict)), 400)),
    Deviation(name="thoughts-beyond-limit", areas=("reasoning",), reasoning=_THINKS, **asking(
        lambda request: request.having(max_tokens=request.json["max_tokens"] + 20)
        if request.json.get("max_tokens") == 4 else request, CHAT)),
)  # fmt: skip

VISION = (
    Deviation(name="pictures-dropped", areas=("vision",), **asking(_blind, CHAT)),
    Deviation(name="pictures-500", areas=("vision",), **_crash(_has("image_url"))),
    Deviation(name="pictures-detail-body", areas=("vision",), **answering(
        lambda request, given: Answer(status=422, body={"detail": "no"}) if _has("image_url")(request) else given,
            CHAT)),
    Deviation(name="pictures-first-only", areas=("vision",), **asking(_one_picture, CHAT)),
    Deviation(name="pictures-bad-taken", areas=("vision",), **asking(
        lambda request: _blind(request) if "not*base64" in str(request.json.get("messages")) else request, CHAT)),
    Deviation(name="pictures-bad-500", areas=("vision",), **_crash(
        lambda request: "not*base64" in str(request.json.get("messages")))),
    Deviation(name="pictures-address-500", areas=("vision",), **_crash(
        lambda request: "none.png" in str(request.json.get("messages")))),
    Deviation(name="pictures-detail-500", areas=("vision",), **_crash(_detail)),
    Deviation(name="audio-500", areas=("vision",), **_crash(_has("input_audio"))),
    Deviation(name="file-500", areas=("vision",), **_crash(_has("file"))),
    Deviation(name="pictures-order-refused", areas=("vision",), **_crash(
        lambda request: "'text': 'First'" in str(request.json.get("messages")), 500)),
)  # fmt: skip

DEVIATIONS = STRUCTURED + REASONING + VISION
