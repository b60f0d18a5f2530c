"""The Responses API: answers without fields, streams without events or out of order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import DONE, Answer, Event, Json, Request
from tests.fakes.openai.deviation import Deviation, answering, asking, body, drop, each, events

ROUTE = "responses"


def _data(change: Callable[[Json], Any]) -> Any:
    return body(change, ROUTE)


def _ignored(*names: str) -> Any:
    return asking(lambda request: request.without(*names), ROUTE)


def _message(change: Callable[[Json], Any]) -> Any:
    return _data(lambda data: each([one for one in data["output"] if one["type"] == "message"], change))


def _call(change: Callable[[Json], Any]) -> Any:
    return _data(lambda data: each([one for one in data["output"] if one["type"] == "function_call"], change))


def _kind(event: Event) -> str:
    return "" if isinstance(event.data, str) else str(event.data.get("type", "")).removeprefix("response.")


def _without(*kinds: str) -> Any:
    return events(lambda given: [event for event in given if _kind(event) not in kinds], ROUTE)


def _each(change: Callable[[Json, Event], Any], *kinds: str) -> Any:
    """The data of each event, of ``kinds`` only where any are given."""

    def all_of(given: list[Event]) -> Iterator[Event]:
        for event in given:
            if isinstance(event.data, str) or (kinds and _kind(event) not in kinds):
                yield event
                continue
            data = copy.deepcopy(event.data)
            change(data, event)
            yield replace(event, data=data)

    return events(all_of, ROUTE)


def _last(change: Callable[[Json], Any]) -> Any:
    return _each(lambda data, _: change(data["response"]), "completed", "incomplete")


def _renamed(old: str, new: str) -> Any:
    def all_of(given: list[Event]) -> Iterator[Event]:
        for event in given:
            if _kind(event) == old and not isinstance(event.data, str):
                yield Event(event.data | {"type": f"response.{new}"}, f"response.{new}")
            else:
                yield event

    return events(all_of, ROUTE)


def _unnamed(given: list[Event]) -> list[Event]:
    return [replace(event, name=None) for event in given]


def _swapped(given: list[Event]) -> list[Event]:
    """The part is opened before its item."""
    kinds = [_kind(event) for event in given]
    if "content_part.added" not in kinds:
        return given
    item, part = kinds.index("output_item.added"), kinds.index("content_part.added")
    changed = list(given)
    changed[item], changed[part] = changed[part], changed[item]
    return changed


def _broken_off(*put: Event) -> Any:
    return events(lambda given: [*given[:5], *put], ROUTE)


def _one_delta(given: list[Event]) -> list[Event]:
    deltas = [event for event in given if _kind(event) == "output_text.delta"]
    if len(deltas) < 2:
        return given
    whole = "".join(str(event.data["delta"]) for event in deltas if not isinstance(event.data, str))
    data: Any = deltas[0].data
    first = replace(deltas[0], data=data | {"delta": whole})
    kept = [first if event is deltas[0] else event for event in given if event not in deltas[1:]]
    return [
        replace(event, data=event.data | {"sequence_number": place})  # type: ignore[operator]
        for place, event in enumerate(kept)
    ]


def _late_refusal(request: Request, given: Answer) -> Answer:
    wrong = given.status == 400 and request.streams
    return (
        Answer(
            events=[
                Event({"type": "error", "message": "boom", "code": None, "param": None, "sequence_number": 0}, "error")
            ]
        )
        if wrong
        else given
    )


def _refused(wrong: Callable[[Request], Any], status: int = 500, *, envelope: bool = True) -> Any:
    def answer(request: Request, given: Answer) -> Answer:
        inner = {"message": "no", "type": "server_error", "param": None, "code": None}
        found = {"error": inner} if envelope else {"detail": "no"}
        return Answer(status=status, body=found) if wrong(request) else given

    return answering(answer, ROUTE)


def _items(request: Request) -> list[Any]:
    given = request.json.get("input")
    return given if isinstance(given, list) else []


def _dropping(wrong: Callable[[Json], bool]) -> Any:
    """Input items that never reach the model."""

    def ask(request: Request) -> Request:
        kept = [item for item in _items(request) if not wrong(item)]
        return request.having(input=kept) if kept and len(kept) < len(_items(request)) else request

    return asking(ask, ROUTE)


def _stored(change: Callable[[Request, Answer], Answer]) -> Any:
    return answering(
        lambda request, given: change(request, given) if request.route.startswith("responses/resp") else given
    )


def _shifting(data: Json, event: Event) -> None:
    data["response"]["id"] = f"resp_{data['type']}"


DEVIATIONS = (
    Deviation(name="responses-detail-404", areas=("responses",), **_refused(
        lambda request: request.json.get("previous_response_id"), 404, envelope=False)),
    Deviation(name="responses-no-id", areas=("responses",), **_data(drop("id"))),
    Deviation(name="responses-object", areas=("responses",),
              **_data(lambda data: data.update(object="chat.completion"))),
    Deviation(name="responses-no-created", areas=("responses",), **_data(drop("created_at"))),
    Deviation(name="responses-created-text", areas=("responses",), **_data(lambda data: data.update(created_at="now"))),
    Deviation(name="responses-no-status", areas=("responses",), **_data(drop("status"))),
    Deviation(name="responses-status-done", areas=("responses",), **_data(lambda data: data.update(status="done"))),
    Deviation(name="responses-always-completed", areas=("responses",), **_data(
        lambda data: data.update(status="completed", incomplete_details=None))),
    Deviation(name="responses-no-reason", areas=("responses",),
              **_data(lambda data: data.update(incomplete_details=None))),
    Deviation(name="responses-no-error", areas=("responses",), **_data(drop("error"))),
    Deviation(name="responses-no-tools", areas=("responses",), **_data(drop("tools"))),
    Deviation(name="responses-no-parallel", areas=("responses",), **_data(
        drop("parallel_tool_calls"))),
    Deviation(name="responses-no-usage", areas=("responses",), **_data(drop("usage"))),
    Deviation(name="responses-usage-chat-names", areas=("responses",), **_data(lambda data: data.update(usage={
        "prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}))),
    Deviation(name="responses-usage-no-details", areas=("responses",), **_data(
        lambda data: data["usage"].pop("output_tokens_details") and None)),
    Deviation(name="responses-usage-wrong", areas=("responses",),
              **_data(lambda data: data["usage"].update(total_tokens=2))),
    Deviation(name="responses-output-text-only", areas=("responses",), **_data(
        lambda data: data.update(output=[], output_text="x"))),
    Deviation(name="responses-output-null", areas=("responses",), **_data(lambda data: data.update(output=None))),
    Deviation(name="responses-item-no-id", areas=("responses",), **_message(drop("id"))),
    Deviation(name="responses-item-no-role", areas=("responses",), **_message(drop("role"))),
    Deviation(name="responses-item-no-status", areas=("responses",), **_message(drop("status"))),
    Deviation(name="responses-item-text-content", areas=("responses",), **_message(
        lambda item: item.update(content=item["content"][0]["text"]))),
    Deviation(name="responses-part-type-text", areas=("responses",), **_message(
        lambda item: item["content"][0].update(type="text"))),
    Deviation(name="responses-part-no-annotations", areas=("responses",), **_message(
        lambda item: item["content"][0].pop("annotations"))),
    Deviation(name="responses-echo-missing", areas=("responses",), **_data(
        lambda data: data.update(instructions=None, metadata={}, max_output_tokens=None))),
    Deviation(name="responses-temperature-not-echoed", areas=("responses",),
              **_data(lambda data: data.update(temperature=1.0))),
    Deviation(name="responses-limit-ignored", areas=("responses",), **_ignored("max_output_tokens")),
    Deviation(name="responses-instructions-ignored", areas=("responses",), **_ignored("instructions")),
    Deviation(name="responses-developer-dropped", areas=("responses",), **_dropping(
        lambda item: item.get("role") == "developer")),
    Deviation(name="responses-history-dropped", areas=("responses",), **_dropping(
        lambda item: item.get("role") == "assistant")),
    Deviation(name="responses-parts-refused", areas=("responses",), **_refused(
        lambda request: any(isinstance(item.get("content"), list) for item in _items(request)), 400)),
    Deviation(name="responses-items-refused", areas=("responses",),
              **_refused(lambda request: bool(_items(request)), 422,
                                                                             envelope=False)),
    Deviation(name="responses-no-input-500", areas=("responses",),
              **_refused(lambda request: "input" not in request.json)),
    Deviation(name="responses-bad-type-500", areas=("responses",), **_refused(
        lambda request: request.json.get("temperature") == "hot")),
    Deviation(name="responses-bad-type-taken", areas=("responses",), **asking(
        lambda request: request.having(temperature=0) if request.json.get("temperature") == "hot" else request, ROUTE)),
    Deviation(name="responses-unknown-model-served", areas=("responses",), **asking(
        lambda request: request.having(model="fake-chat"), ROUTE)),
    Deviation(name="responses-stream-ignored", areas=("responses",), **_ignored("stream")),
    Deviation(name="r01-no-event-names", areas=("responses",), **events(_unnamed, ROUTE)),
    Deviation(name="r02-no-sequence-number", areas=("responses",),
              **_each(lambda data, _: data.pop("sequence_number"))),
    Deviation(name="sequence-all-zero", areas=("responses",), **_each(lambda data, _: data.update(sequence_number=0))),
    Deviation(name="r04-no-created", areas=("responses",), **_without("created")),
    Deviation(name="no-in-progress", areas=("responses",), **_without("in_progress")),
    Deviation(name="r05-no-item-added", areas=("responses",), **_without("output_item.added")),
    Deviation(name="r06-no-part-added", areas=("responses",), **_without("content_part.added")),
    Deviation(name="r07-no-text-done", areas=("responses",), **_without("output_text.done")),
    Deviation(name="no-part-done", areas=("responses",), **_without("content_part.done")),
    Deviation(name="r08-no-item-done", areas=("responses",), **_without("output_item.done")),
    Deviation(name="r09-no-end", areas=("responses",), **_without("completed", "incomplete")),
    Deviation(name="no-deltas", areas=("responses",), **_without("output_text.delta")),
    Deviation(name="one-delta", areas=("responses",), **events(_one_delta, ROUTE)),
    Deviation(name="part-before-item", areas=("responses",), **events(_swapped, ROUTE)),
    Deviation(name="r10-response-done", areas=("responses",), **_renamed("incomplete", "done") ),
    Deviation(name="r11-response-id-changes", areas=("responses",), **_each(
        _shifting, "created", "in_progress", "completed", "incomplete")),
    Deviation(name="r12-item-id-changes", areas=("responses",), **_each(
        lambda data, _: data.update(item_id="msg_other"), "output_text.delta")),
    Deviation(name="r13-no-item-id", areas=("responses",),
              **_each(lambda data, _: data.pop("item_id"), "output_text.delta")),
    Deviation(name="r14-no-content-index", areas=("responses",), **_each(
        lambda data, _: data.pop("content_index"), "output_text.delta")),
    Deviation(name="r15-no-output-index", areas=("responses",), **_each(
        lambda data, _: data.pop("output_index"), "output_text.delta")),
    Deviation(name="output-index-from-one", areas=("responses",), **_each(
        lambda data, _: data.update(output_index=data["output_index"] + 1) if "output_index" in data else None)),
    Deviation(name="delta-null", areas=("responses",),
              **_each(lambda data, _: data.update(delta=None), "output_text.delta")),
    Deviation(name="r17-end-without-output", areas=("responses",),
              **_last(lambda response: response.update(output=[]))),
    Deviation(name="r18-end-without-usage", areas=("responses",),
              **_last(lambda response: response.update(usage=None))),
    Deviation(name="end-without-response", areas=("responses",), **_each(
        lambda data, _: data.pop("response"), "completed", "incomplete")),
    Deviation(name="r19-unknown-event", areas=("responses",), **_renamed("in_progress", "thinking_hard")),
    Deviation(name="event-name-differs", areas=("responses",), **events(
        lambda given: [replace(event, name="message") for event in given], ROUTE)),
    Deviation(name="r20-error-flat-midway", areas=("responses",), **_broken_off(
        Event({"type": "error", "message": "boom", "code": None, "param": None, "sequence_number": 5}, "error"))),
    Deviation(name="r22-failed-midway", areas=("responses",), **_broken_off(
        Event({"type": "response.failed", "sequence_number": 5, "response": {"id": "x", "status": "failed"}},
              "response.failed"))),
    Deviation(name="responses-cut-midway", areas=("responses",), **_broken_off()),
    Deviation(name="responses-late-refusal", areas=("responses",), **answering(_late_refusal, ROUTE)),
    Deviation(name="responses-chat-chunks", areas=("responses",), **events(lambda given: [
        Event({"id": "x", "object": "chat.completion.chunk", "choices": []}), DONE], ROUTE)),
    Deviation(name="responses-type-plain", areas=("responses",), **answering(
        lambda request, given: given.with_headers(Content_Type="text/plain") if given.events else given, ROUTE)),
    Deviation(name="text-done-differs", areas=("responses",),
              **_each(lambda data, _: data.update(text="x"), "output_text.done")),
    Deviation(name="responses-tools-ignored", areas=("responses",), **_ignored("tools", "tool_choice")),
    Deviation(name="responses-tool-choice-ignored", areas=("responses",), **_ignored("tool_choice")),
    Deviation(name="responses-call-no-call-id", areas=("responses",), **_call(drop("call_id"))),
    Deviation(name="responses-call-nested", areas=("responses",), **_call(
        lambda item: item.update(function={"name": item.pop("name"), "arguments": item.pop("arguments")}))),
    Deviation(name="responses-call-arguments-object", areas=("responses",),
              **_call(lambda item: item.update(arguments={}))),
    Deviation(name="responses-call-type", areas=("responses",), **_call(lambda item: item.update(type="tool_call"))),
    Deviation(name="no-arguments-delta", areas=("responses",), **_without("function_call_arguments.delta")),
    Deviation(name="no-arguments-done", areas=("responses",), **_without("function_call_arguments.done")),
    Deviation(name="arguments-done-differs", areas=("responses",), **_each(
        lambda data, _: data.update(arguments="{}"), "function_call_arguments.done")),
    Deviation(name="responses-tool-output-dropped", areas=("responses",), **_dropping(
        lambda item: item.get("type") == "function_call_output")),
    Deviation(name="responses-tool-output-500", areas=("responses",), **_refused(
        lambda request: any(item.get("type") == "function_call_output" for item in _items(request)))),
    Deviation(name="responses-format-ignored", areas=("responses",), **_ignored("text")),
    Deviation(name="responses-previous-ignored", areas=("responses",), **_ignored("previous_response_id")),
    Deviation(name="responses-previous-unknown-taken", areas=("responses",), **asking(
        lambda request: request.without("previous_response_id")
        if request.json.get("previous_response_id") == "resp_no_such" else request, ROUTE)),
    Deviation(name="responses-stored-other", areas=("responses",), **_stored(
        lambda request, given: replace(given, body=given.body | {"id": "resp_other"})
        if given.status == 200 and "output" in given.body else given)),
    Deviation(name="responses-stored-500", areas=("responses",), **_stored(
        lambda request, given: replace(given, status=500) if given.status == 404 else given)),
    Deviation(name="responses-include-refused", areas=("responses",), **_refused(
        lambda request: request.json.get("include"), 422, envelope=False)),
    Deviation(name="responses-count-other", areas=("responses",), **body(
        lambda data: data.update(input_tokens=1), "responses/input_tokens")),
)  # fmt: skip
