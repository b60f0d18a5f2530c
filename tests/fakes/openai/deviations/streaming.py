"""Streams that break the rules of server-sent events, or of chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import DONE, Answer, Event, Json, Request, encode_event
from tests.fakes.openai.deviation import (
    Deviation,
    answering,
    chunks,
    deltas,
    drop,
    dumped,
    events,
    frames,
    pieces,
    without_done,
)  # fmt: skip

CHAT = "chat/completions"


def _before(data: bytes, place: int = 2) -> Any:
    """``data`` before the event number ``place``."""

    def encode(given: Sequence[Event]) -> list[bytes]:
        encoded = [encode_event(event) for event in given]
        return [*encoded[:place], data, *encoded[place:]]

    return frames(encode, CHAT)


def _chunk(change: Any) -> Any:
    return chunks(change)


def _last_finish(change: Any) -> Any:
    """The choice that carries the finish_reason."""

    def each(data: Json) -> None:
        for choice in data.get("choices") or []:
            if choice["finish_reason"] is not None:
                change(choice)

    return chunks(each)


def _cut(keep: float, *, done: bool = False) -> Any:
    def cut(given: list[Event]) -> list[Event]:
        kept = without_done(given)[: max(2, int((len(given) - 2) * keep))]
        return kept + ([DONE] if done else [])

    return events(cut)


def _ids(encode: Any) -> Any:
    return frames(lambda given: [encode(number, event) for number, event in enumerate(given)], CHAT)


def _unterminated(given: Sequence[Event]) -> list[bytes]:
    encoded = [encode_event(event) for event in without_done(given)]
    return [*encoded[:-1], encoded[-1].rstrip(b"\n")]


def _pretty(event: Event) -> bytes:
    lines = json.dumps(event.data, indent=1).splitlines() if not isinstance(event.data, str) else [event.data]
    return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"


def _glued(given: Sequence[Event]) -> list[bytes]:
    """Two documents in one event."""
    encoded = [f"data: {dumped(event)}".encode() for event in given]
    return [encoded[0] + b"\n\n", encoded[1] + b"\n" + encoded[2] + b"\n\n", *(one + b"\n\n" for one in encoded[3:])]


def _gathered(given: list[Event]) -> list[Event]:
    """All text in one chunk: a server, or a proxy, that waits for the end."""
    texts = [event for event in given if _content(event)]
    if not texts:
        return given
    whole = "".join(_content(event) for event in texts)
    first = given.index(texts[0])
    data: Any = texts[0].data
    choice = data["choices"][0]
    one = replace(texts[0], data=data | {"choices": [choice | {"delta": choice["delta"] | {"content": whole}}]})
    return [*given[:first], one, *(event for event in given[first:] if event not in texts)]


def _content(event: Event) -> str:
    data = event.data
    if isinstance(data, str) or not data["choices"]:
        return ""
    return data["choices"][0]["delta"].get("content") or ""


def _cumulative(given: list[Event]) -> Iterator[Event]:
    said = ""
    for event in given:
        if _content(event) and not isinstance(event.data, str):
            said += _content(event)
            choice = event.data["choices"][0]
            delta = choice["delta"] | {"content": said}
            yield replace(event, data=event.data | {"choices": [choice | {"delta": delta}]})
        else:
            yield event


def _usage_every(request: Request, given: Answer) -> Answer:
    if given.events is None or not request.json.get("stream_options"):
        return given
    usage = next(
        (event.data["usage"] for event in given.events if not isinstance(event.data, str) and event.data.get("usage")),
        None,
    )
    if usage is None:
        return given
    return replace(
        given,
        events=[
            event if isinstance(event.data, str) else replace(event, data=event.data | {"usage": usage})
            for event in given.events
        ],
    )


def _usage_on_last(given: list[Event]) -> list[Event]:
    usage = [event for event in given if not isinstance(event.data, str) and event.data.get("usage")]
    if not usage:
        return given
    kept = [event for event in given if event not in usage]
    last = max(place for place, event in enumerate(kept) if not isinstance(event.data, str))
    data: Any = kept[last].data
    kept[last] = replace(kept[last], data=data | {"usage": usage[0].data["usage"]})  # type: ignore[index]
    return kept


def _after_usage(given: list[Event]) -> list[Event]:
    usage = [event for event in given if not isinstance(event.data, str) and event.data.get("usage")]
    if not usage or isinstance(usage[0].data, str):
        return given
    extra = replace(usage[0], data=usage[0].data | {"usage": None})
    return [*(event for event in given if event != DONE), extra, DONE]


def _no_usage(data: Json) -> bool:
    return not (data.get("usage") and not data["choices"])


def _unasked_usage(request: Request, given: Answer) -> Answer:
    if given.events is None or request.json.get("stream_options"):
        return given
    body: Any = given.events[0].data
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    extra = Event({**body, "choices": [], "usage": usage})
    return replace(given, events=[*given.events[:-1], extra, DONE])


def _error_event(*put: Event, finish: bool = False) -> Any:
    """The stream breaks off in the middle, with ``put``."""

    def broken(given: list[Event]) -> list[Event]:
        return [*given[:3], *put, DONE] if finish else [*given[:3], *put]

    return events(broken)


def _swap_choices(given: list[Event]) -> list[Event]:
    def number(event: Event) -> int:
        if isinstance(event.data, str) or not event.data["choices"]:
            return -100
        return int(event.data["choices"][0]["index"])

    chosen = [event for event in given if number(event) >= 0]
    return [*sorted(chosen, key=number, reverse=True), *(event for event in given if number(event) < 0)]


def _whole_instead(request: Request, given: Answer) -> Answer:
    if given.events is None:
        return given
    data: Any = given.events[0].data
    text = "".join(_content(event) for event in given.events)
    body = {
        **{key: data[key] for key in ("id", "created", "model")},
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, "refusal": None}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return replace(given, events=None, body=body)


def _html(request: Request, given: Answer) -> Answer:
    if given.events is None:
        return given
    return replace(given, events=None, raw=b"<html>busy</html>").with_headers(Content_Type="text/html")


def _late_refusal(request: Request, given: Answer) -> Answer:
    """Bad requests that would stream are answered with 200 and an error event."""
    wrong = given.status >= 400 and request.streams
    return Answer(events=[Event(given.body), DONE]) if wrong else given


def _split_utf8(event: Event) -> bytes:
    """Text in which characters beyond ASCII are cut to replacement characters."""
    return dumped(event).encode("ascii", "replace").join([b"data: ", b"\n\n"]).replace(b"?", "�".encode())


def _pick(name: str, change: Any) -> Any:
    return chunks(lambda data: change(data) if name in data else None)


def _role_each(choice: Json, delta: Json) -> None:
    delta["role"] = "assistant"


def _shift_ids(data: Json, counter: list[int] = [0]) -> None:  # noqa: B006 - counts on purpose
    counter[0] += 1
    data["id"] = f"chatcmpl-{counter[0]}"


_USAGE = ("stream.usage*", "streaming.usage*", "*.usage*")

DEVIATIONS = (
    Deviation(name="s01-role-every-delta", areas=("streaming",), **deltas(_role_each)),
    Deviation(name="s02-no-role", areas=("streaming",), **deltas(lambda choice, delta: delta.pop("role", None))),
    Deviation(name="role-null-first", areas=("streaming",), **deltas(
        lambda choice, delta: delta.update(role=None) if "role" in delta else None)),
    Deviation(name="s04-usage-no-choices", areas=("streaming",),
              **chunks(lambda data: data.pop("choices") and None if data.get("usage") else None)),
    Deviation(name="s04b-usage-choices-null", areas=("streaming",), **chunks(
        lambda data: data.update(choices=None) if data.get("usage") else None)),
    Deviation(name="s05-usage-on-last", areas=("streaming",), **events(_usage_on_last)),
    Deviation(name="s06-usage-every-chunk", areas=("streaming",), **answering(_usage_every, CHAT)),
    Deviation(name="s07-chunk-after-usage", areas=("streaming",), **events(_after_usage)),
    Deviation(name="stream-usage-ignored", areas=("streaming",), **chunks(_no_usage)),
    Deviation(name="stream-usage-unasked", areas=("streaming",), **answering(_unasked_usage, CHAT)),
    Deviation(name="stream-usage-other-numbers", areas=("streaming",), **chunks(
        lambda data: data["usage"].update(completion_tokens=data["usage"]["completion_tokens"] + 1)
        if data.get("usage") else None)),
    Deviation(name="s58b-usage-null-tokens", areas=("streaming",), **chunks(
        lambda data: data["usage"].update(completion_tokens=None) if data.get("usage") else None)),
    Deviation(name="s08-no-done", areas=("streaming",), **events(without_done)),
    Deviation(name="done-twice", areas=("streaming",), **events(lambda given: [*given, DONE])),
    Deviation(name="done-lower-case", areas=("streaming",),
              **events(lambda given: [Event("[done]") if event == DONE else event for event in given])),
    Deviation(name="done-as-json", areas=("streaming",),
              **events(lambda given: [Event('"[DONE]"') if event == DONE else event for event in given])),
    Deviation(name="chunk-after-done", areas=("streaming",), **events(lambda given: [*given, given[0]])),
    Deviation(name="s08b-cut-mid-answer", areas=("streaming",), **_cut(0.5)),
    Deviation(name="cut-but-done", areas=("streaming",), **_cut(0.5, done=True)),
    Deviation(name="s09b-last-unterminated", areas=("streaming",), **frames(_unterminated, CHAT)),
    Deviation(name="s11-comment-after-id", areas=("streaming",), **_ids(
        lambda number, event: (b": ping\n\n" if number else b"") + b"id: %d\n" % number + encode_event(event))),
    Deviation(name="s12-retry-first", areas=("streaming",), **_before(b"retry: 3000\n\n", 0)),
    Deviation(name="s13-event-ping", areas=("streaming",), **_before(b"event: ping\ndata: {}\n\n")),
    Deviation(name="s13b-event-ping-no-data", areas=("streaming",), **_before(b"event: ping\n\n")),
    Deviation(name="s14-empty-data", areas=("streaming",), **_before(b"data:\n\n")),
    Deviation(name="s15-error-field", areas=("streaming",), **frames(
        lambda given: [*(encode_event(event) for event in given[:3]), b'error: {"code":500,"message":"boom"}\n\n'],
            CHAT)),
    Deviation(name="s17-error-text", areas=("streaming",), **_error_event(Event({"error": "boom"}))),
    Deviation(name="s18-error-flat", areas=("streaming",), **_error_event(Event({"message": "boom"}, "error"))),
    Deviation(name="s18b-error-flat-object", areas=("streaming",),
              **_error_event(Event({"object": "error", "message": "boom", "code": 500}))),
    Deviation(name="s18c-finish-error", areas=("streaming",),
              **_last_finish(lambda choice: choice.update(finish_reason="error"))),
    Deviation(name="s21b-ndjson", areas=("streaming",), **frames(
        lambda given: [f"{dumped(event)}\n".encode() for event in without_done(given)], CHAT)),
    Deviation(name="s21c-bom", areas=("streaming",), **_before(b"\xef\xbb\xbf", 0)),
    Deviation(name="s22-type-json", areas=("streaming",), **frames(
        lambda given: map(encode_event, given), CHAT, Content_Type="application/json")),
    Deviation(name="s24-type-plain", areas=("streaming",), **frames(
        lambda given: map(encode_event, given), CHAT, Content_Type="text/plain")),
    Deviation(name="s24b-type-none", areas=("streaming",), **frames(
        lambda given: map(encode_event, given), CHAT, Content_Type=None)),
    Deviation(name="s25-no-object", areas=("streaming",), **chunks(drop("object"))),
    Deviation(name="s26-object-typo", areas=("streaming",),
              **chunks(lambda data: data.update(object="chat.completions.chunk"))),
    Deviation(name="s26b-object-whole", areas=("streaming",),
              **chunks(lambda data: data.update(object="chat.completion"))),
    Deviation(name="s28-no-id", areas=("streaming",), **chunks(drop("id"))),
    Deviation(name="s28b-id-changes", areas=("streaming",), **chunks(_shift_ids)),
    Deviation(name="s29-created-float", areas=("streaming",), **chunks(lambda data: data.update(created=1.75e9 + 0.5))),
    Deviation(name="s29b-no-created", areas=("streaming",), **chunks(drop("created"))),
    Deviation(name="s29c-created-text", areas=("streaming",), **chunks(lambda data: data.update(created="now"))),
    Deviation(name="s30-no-model", areas=("streaming",), **chunks(drop("model"))),
    Deviation(name="s31-no-finish", areas=("streaming",),
              **_last_finish(lambda choice: choice.update(finish_reason=None))),
    Deviation(name="s32-finish-empty", areas=("streaming",), **deltas(
        lambda choice, delta: choice.update(finish_reason=choice["finish_reason"] or ""))),
    Deviation(name="s32b-finish-null-text", areas=("streaming",), **deltas(
        lambda choice, delta: choice.update(finish_reason=choice["finish_reason"] or "null"))),
    Deviation(name="s33-finish-eos", areas=("streaming",),
              **_last_finish(lambda choice: choice.update(finish_reason="eos"))),
    Deviation(name="finish-every-chunk", areas=("streaming",),
              **deltas(lambda choice, delta: choice.update(finish_reason="stop"))),
    Deviation(name="s35-no-delta", areas=("streaming",), **_last_finish(drop("delta"))),
    Deviation(name="s36-delta-null", areas=("streaming",), **_last_finish(lambda choice: choice.update(delta=None))),
    Deviation(name="s36b-message-not-delta", areas=("streaming",),
              **deltas(lambda choice, delta: choice.update(message=choice.pop("delta")))),
    Deviation(name="s37-no-index", areas=("streaming",), **deltas(lambda choice, delta: choice.pop("index"))),
    Deviation(name="s38-choice-one-first", areas=("streaming", "parameters"), **events(_swap_choices)),
    Deviation(name="s55-list-without-index", areas=("streaming",), **deltas(
        lambda choice, delta: delta.update(reasoning_details=[{"type": "text", "text": "x"}]))),
    Deviation(name="s59-stream-html", areas=("streaming",), **answering(_html, CHAT)),
    Deviation(name="s60-stream-ignored", areas=("streaming",), **answering(_whole_instead, CHAT)),
    Deviation(name="stream-content-number", areas=("streaming",), **deltas(
        lambda choice, delta: delta.update(content=7) if delta.get("content") else None)),
    Deviation(name="stream-content-parts", areas=("streaming",), **deltas(
        lambda choice, delta: delta.update(content=[{"type": "text", "text": delta["content"]}])
        if delta.get("content") else None)),
    Deviation(name="stream-cumulative", areas=("streaming",), **events(_cumulative)),
    Deviation(name="stream-last-token-lost", areas=("streaming",), **events(
        lambda given: [event for event in given if event != [one for one in given if _content(one)][-1:][0]]
        if any(map(_content, given)) else given)),
    Deviation(name="stream-all-at-once", areas=("streaming",), **events(_gathered)),
    Deviation(name="stream-two-in-one", areas=("streaming",), **frames(_glued, CHAT)),
    Deviation(name="stream-python-literals", areas=("streaming",), **frames(
        lambda given: [f"data: {event.data}\n\n".encode() for event in given], CHAT)),
    Deviation(name="stream-latin-1", areas=("streaming",), **frames(
        lambda given: [f"data: {dumped(event)}\n\n".encode("latin-1", "replace").replace(b" ", b"\xa0 ", 1)
                       for event in given], CHAT)),
    Deviation(name="stream-double-data", areas=("streaming",), **pieces(lambda raw: b"data: " + raw, CHAT)),
    Deviation(name="stream-spaces-before-data", areas=("streaming",), **pieces(lambda raw: b"  " + raw, CHAT)),
    Deviation(name="stream-single-newline", areas=("streaming",),
              **pieces(lambda raw: raw.rstrip(b"\n") + b"\n", CHAT)),
    Deviation(name="stream-refused-with-200", areas=("errors",), **answering(_late_refusal, CHAT)),
    Deviation(name="stream-model-changes", areas=("streaming",), **events(
        lambda given: [event if isinstance(event.data, str) or place < 2 else
                       replace(event, data=event.data | {"model": f"m{place}"}) for place, event in enumerate(given)])),
)  # fmt: skip
HARMLESS = (
    Deviation(name="s09-done-no-blank", areas=(), **frames(
        lambda given: [*(encode_event(event) for event in without_done(given)), b"data: [DONE]"], CHAT)),
    Deviation(name="s10-comment", areas=(), **_before(b": ping\n\n")),
    Deviation(name="s19-crlf", areas=(), **pieces(lambda raw: raw.replace(b"\n", b"\r\n"), CHAT)),
    Deviation(name="s20-no-space", areas=(), **pieces(lambda raw: raw.replace(b"data: ", b"data:"), CHAT)),
    Deviation(name="s21-multiline", areas=(), **frames(lambda given: map(_pretty, given), CHAT)),
    Deviation(name="s34-content-null-last", areas=(),
              **_last_finish(lambda choice: choice["delta"].update(content=None))),
    Deviation(name="s52-tool-calls-empty", areas=(), **deltas(
        lambda choice, delta: delta.setdefault("tool_calls", []) if delta.get("content") else None)),
    Deviation(name="s58-usage-details-null", areas=(), **chunks(
        lambda data: data["usage"].update(prompt_tokens_details=None, completion_tokens_details=None)
        if data.get("usage") else None)),
)  # fmt: skip
"""What differs and hurts nobody (appendix of the measurements): no check may fail of it."""
