"""Whole chat answers that are not quite what OpenAI sends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import DONE, Answer, Event, Json, Request, encode_event
from tests.fakes.openai.deviation import Deviation, answering, body, choices, drop

CHAT = "chat/completions"


def _drop(*names: str) -> Any:
    return body(lambda data: [data.pop(name, None) for name in names] and data)


def _set(**values: Any) -> Any:
    return body(lambda data: data.update(values))


def _message(**values: Any) -> Any:
    return choices(lambda choice: choice["message"].update(values))


def _usage(change: Any) -> Any:
    return body(lambda data: change(data["usage"]))


def _sent(raw: bytes, kind: str | None = "application/json", status: int = 200) -> Any:
    def answer(request: Request, given: Answer) -> Answer:
        if request.streams or given.status != 200:
            return given
        return Answer(status=status, raw=raw).with_headers(Content_Type=kind)

    return answering(answer, CHAT)


def _typed(kind: str | None) -> Any:
    def answer(_: Request, given: Answer) -> Answer:
        if given.body is None or given.status != 200:
            return given
        return replace(given, body=None, raw=json.dumps(given.body).encode()).with_headers(Content_Type=kind)

    return answering(answer, CHAT)


def _as_stream(request: Request, given: Answer) -> Answer:
    if request.streams or given.status != 200:
        return given
    pieces = [encode_event(Event({**given.body, "object": "chat.completion.chunk"})), encode_event(DONE)]
    return replace(given, body=None, pieces=pieces)


def _literal(word: str) -> Any:
    def answer(_: Request, given: Answer) -> Answer:
        if given.status != 200 or given.body is None or not given.body["choices"][0].get("logprobs"):
            return given
        given.body["choices"][0]["logprobs"]["content"][0]["logprob"] = "@"
        raw = json.dumps(given.body).replace('"@"', word).encode()
        return replace(given, body=None, raw=raw).with_headers(Content_Type="application/json")

    return answering(answer, CHAT)


def _legacy_logprobs(choice: Json) -> None:
    if choice.get("logprobs"):
        entries = choice["logprobs"]["content"]
        choice["logprobs"] = {
            "tokens": [entry["token"] for entry in entries], "token_logprobs": [entry["logprob"] for entry in entries],
            "top_logprobs": None, "text_offset": [0] * len(entries),
        }  # fmt: skip


def _each_logprob(change: Any) -> Any:
    def each(choice: Json) -> None:
        for place, entry in enumerate((choice.get("logprobs") or {}).get("content") or []):
            change(entry, place)

    return choices(each)


def _repeat_key(_: Request, given: Answer) -> Answer:
    if given.status != 200 or given.body is None:
        return given
    raw = json.dumps(given.body).replace('{"id"', '{"object": "x", "id"', 1).encode()
    return replace(given, body=None, raw=raw).with_headers(Content_Type="application/json")


_EVERYTHING = ("*",)
_LOOKS = ("parameters.*", "messages.*", "streaming.*", "stream.*", "chat.*")

DEVIATIONS = (
    Deviation(name="n01-no-id", areas=("chat",), **_drop("id")),
    Deviation(name="chat-id-empty", areas=("chat",), **_set(id="")),
    Deviation(name="chat-id-number", areas=("chat",), **_set(id=17)),
    Deviation(name="chat-id-constant", areas=("chat",), **_set(id="chatcmpl-1")),
    Deviation(name="n02-no-object", areas=("chat",), **_drop("object")),
    Deviation(name="chat-object-of-completions", areas=("chat",), **_set(object="text_completion")),
    Deviation(name="n03-no-created", areas=("chat",), **_drop("created")),
    Deviation(name="n03b-created-float", areas=("chat",), **_set(created=1750000000.5)),
    Deviation(name="n03c-created-ms", areas=("chat",),
              **body(lambda data: data.update(created=data["created"] * 1000))),
    Deviation(name="created-text", areas=("chat",), **_set(created="2026-12-01T00:00:00Z")),
    Deviation(name="created-zero", areas=("chat",), **_set(created=0)),
    Deviation(name="n04-no-model", areas=("chat",), **_drop("model")),
    Deviation(name="chat-model-path", areas=("chat",), **_set(model="/data/weights/model")),
    Deviation(name="n05-no-usage", areas=("chat",), **_drop("usage")),
    Deviation(name="n05b-usage-null", areas=("chat",), **_set(usage=None)),
    Deviation(name="n05c-usage-no-total", areas=("chat",), **_usage(drop("total_tokens"))),
    Deviation(name="usage-text", areas=("chat",), **_usage(lambda usage: usage.update(total_tokens="12"))),
    Deviation(
        name="usage-sum-wrong", areas=("chat",),
        **_usage(lambda usage: usage.update(total_tokens=usage["total_tokens"] + 3)),
    ),
    Deviation(
        name="usage-completion-zero", areas=("chat", "parameters"),
        **_usage(lambda usage: usage.update(completion_tokens=0, total_tokens=usage["prompt_tokens"])),
    ),
    Deviation(
        name="usage-one-too-many", areas=("chat", "parameters"),
        **_usage(lambda usage: usage.update(
            completion_tokens=usage["completion_tokens"] + 1, total_tokens=usage["total_tokens"] + 1)),
    ),
    Deviation(
        name="usage-prompt-constant", areas=("messages",),
        **_usage(lambda usage: usage.update(prompt_tokens=9, total_tokens=9 + usage["completion_tokens"])),
    ),
    Deviation(name="usage-details-list", areas=("chat",),
              **_usage(lambda usage: usage.update(prompt_tokens_details=[]))),
    Deviation(
        name="usage-details-text", areas=("chat",),
        **_usage(lambda usage: usage.update(completion_tokens_details={"reasoning_tokens": "0"})),
    ),
    Deviation(
        name="usage-negative", areas=("chat",),
            **_usage(lambda usage: usage["prompt_tokens_details"].update(cached_tokens=-1))
    ),
    Deviation(name="n06-no-choices", areas=("chat",), **_drop("choices")),
    Deviation(name="n06b-choices-null", areas=("chat",), **_set(choices=None)),
    Deviation(name="n06c-choices-empty", areas=("chat",), **_set(choices=[])),
    Deviation(name="n07-no-role", areas=("chat",), **choices(lambda choice: choice["message"].pop("role") and None)),
    Deviation(name="role-bot", areas=("chat",), **_message(role="bot")),
    Deviation(
        name="n08-content-parts", areas=("chat",),
        **choices(lambda choice: choice["message"].update(content=[{"type": "text",
            "text": choice["message"]["content"]}])),
    ),
    Deviation(name="content-absent", areas=("chat",),
              **choices(lambda choice: choice["message"].pop("content", "") and None)),
    Deviation(name="content-null", areas=("chat",), **_message(content=None)),
    Deviation(name="refusal-number", areas=("chat",), **_message(refusal=0)),
    Deviation(name="refusal-absent", areas=("chat",), **choices(lambda choice: choice["message"].pop("refusal", None))),
    Deviation(name="message-text-not-message", areas=("chat",),
              **choices(lambda choice: choice.update(text=choice.pop("message")["content"]) or choice)),
    Deviation(name="n09-finish-null", areas=("chat",), **choices(lambda choice: choice.update(finish_reason=None))),
    Deviation(name="n10-finish-eos", areas=("chat",), **choices(lambda choice: choice.update(finish_reason="eos"))),
    Deviation(name="finish-absent", areas=("chat",), **choices(drop("finish_reason"))),
    Deviation(name="finish-always-stop", areas=("chat", "parameters"),
              **choices(lambda choice: choice.update(finish_reason="stop"))),
    Deviation(name="n11-type-plain", areas=("transport",), **_typed("text/plain")),
    Deviation(name="n11b-type-none", areas=("transport",), **_typed(None)),
    Deviation(name="n12-html", areas=("chat",), **_sent(b"<html><body>Sign in</body></html>", "text/html")),
    Deviation(name="n12b-200-error", areas=("chat",),
              **_sent(b'{"error":{"message":"boom","type":"server_error","param":null,"code":null}}')),
    Deviation(name="n12c-sse-unasked", areas=("chat",), **answering(_as_stream, CHAT)),
    Deviation(name="chat-empty-body", areas=("chat",), **_sent(b"")),
    Deviation(name="chat-list-body", areas=("chat",), **_sent(b"[]")),
    Deviation(name="chat-truncated-json", areas=("chat",), **_sent(b'{"id":"chatcmpl-1","object":"chat.comp')),
    Deviation(name="chat-created-201", areas=("chat",), **answering(
        lambda request, given: replace(given, status=201) if given.status == 200 and not request.streams else given,
            CHAT)),
    Deviation(name="n13-no-index", areas=("chat",), **choices(drop("index"))),
    Deviation(name="index-from-one", areas=("chat",),
              **choices(lambda choice: choice.update(index=choice["index"] + 1))),
    Deviation(name="index-text", areas=("chat",), **choices(lambda choice: choice.update(index=str(choice["index"])))),
    Deviation(name="n14-logprobs-legacy", areas=("parameters",), **choices(_legacy_logprobs)),
    Deviation(name="n14b-logprobs-no-top", areas=("parameters",),
              **_each_logprob(lambda entry, _: (entry.pop("top_logprobs"), entry.pop("bytes")))),
    Deviation(name="n14c-logprob-infinity", areas=("parameters", "transport"), **_literal("-Infinity")),
    Deviation(name="logprob-nan", areas=("parameters", "transport"), **_literal("NaN")),
    Deviation(name="logprobs-positive", areas=("parameters",),
              **_each_logprob(lambda entry, _: entry.update(logprob=0.7))),
    Deviation(name="logprobs-probabilities", areas=("parameters",),
              **_each_logprob(lambda entry, _: entry.update(logprob=2.718281828 ** entry["logprob"]))),
    Deviation(name="logprobs-first-missing", areas=("parameters",),
              **choices(lambda choice: choice["logprobs"] and choice["logprobs"]["content"].pop(0) and None)),
    Deviation(name="logprobs-unsorted", areas=("parameters",),
              **_each_logprob(lambda entry, _: entry["top_logprobs"].reverse())),
    Deviation(name="logprobs-bytes-wrong", areas=("parameters",),
              **_each_logprob(lambda entry, _: entry.update(bytes=[63]))),
    Deviation(name="logprobs-token-ids", areas=("parameters",),
              **_each_logprob(lambda entry, place: entry.update(token=place + 1000))),
    Deviation(name="fingerprint-number", areas=("chat",), **_set(system_fingerprint=12)),
    Deviation(name="service-tier-list", areas=("chat",), **_set(service_tier=["default"])),
    Deviation(name="metadata-list", areas=("chat",), **_set(metadata={"weight_versions": ["a"]})),
    Deviation(name="json-key-twice", areas=("transport", "chat"), **answering(_repeat_key, CHAT)),
    Deviation(name="m08-tool-calls-text", areas=("chat",), **_message(tool_calls="none")),
)  # fmt: skip
