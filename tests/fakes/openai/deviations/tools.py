"""Tools: ignored choices, calls of the wrong shape, whole and in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import Answer, Event, Json, Request
from tests.fakes.openai.deviation import Deviation, answering, asking, choices, chunks, drop, each, events, loaded

CHAT = "chat/completions"


def _calls(change: Callable[[Json], Any]) -> Any:
    """Each call of whole answers."""
    return choices(lambda choice: each(choice["message"].get("tool_calls") or [], change))


def _called(change: Callable[[Json], Any]) -> Any:
    """Choices that hold calls."""
    return choices(lambda choice: change(choice) if choice["message"].get("tool_calls") else None)


def _pieces(change: Callable[[Json], Any]) -> Any:
    """Each tool delta."""

    def each(data: Json) -> None:
        for choice in data.get("choices") or []:
            for call in choice["delta"].get("tool_calls") or []:
                change(call)

    return chunks(each)


def _later(change: Callable[[Json], Any]) -> Any:
    return _pieces(lambda call: None if "id" in call else change(call))


def _first(change: Callable[[Json], Any]) -> Any:
    return _pieces(lambda call: change(call) if "id" in call else None)


def _choice(change: Callable[[Any], Any]) -> Any:
    def ask(request: Request) -> Request:
        found = request.json.get("tool_choice")
        made = change(found)
        return request if found is None or made == found else request.having(tool_choice=made)

    return asking(ask, CHAT)


def _tools(change: Callable[[Json], Json]) -> Any:
    def ask(request: Request) -> Request:
        tools = request.json.get("tools")
        return request.having(tools=[change(tool) for tool in tools]) if isinstance(tools, list) else request

    return asking(ask, CHAT)


def _anywhere(change: Callable[[Any], Any]) -> Any:
    """The arguments of each call, parsed, in whole answers: strict mode that is not."""

    def each(call: Json) -> None:
        found = loaded(call["function"]["arguments"], None)
        if isinstance(found, dict):
            call["function"]["arguments"] = json.dumps(change(found))

    return _calls(each)


def _as_text(choice: Json) -> Json:
    call = choice["message"].pop("tool_calls")[0]["function"]
    choice["message"]["content"] = f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
    return choice | {"finish_reason": "stop"}


def _legacy(choice: Json) -> Json:
    call = choice["message"].pop("tool_calls")[0]["function"]
    choice["message"]["function_call"] = call
    return choice | {"finish_reason": "function_call"}


def _legacy_pieces(data: Json) -> None:
    for choice in data.get("choices") or []:
        for call in choice["delta"].pop("tool_calls", []):
            choice["delta"]["function_call"] = call["function"]


def _one_chunk(given: list[Event]) -> list[Event]:
    """All arguments in one delta."""
    found = [event for event in given if _tool(event) and "id" not in (_tool(event) or {})]
    if len(found) < 2:
        return given
    whole = "".join(_tool(event)["function"]["arguments"] for event in found)  # type: ignore[index]
    data = json.loads(json.dumps(found[0].data))
    data["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] = whole
    at = given.index(found[0])
    return [*given[:at], replace(found[0], data=data), *(event for event in given[at:] if event not in found)]


def _tool(event: Event) -> Json | None:
    if isinstance(event.data, str) or not event.data["choices"]:
        return None
    calls = event.data["choices"][0]["delta"].get("tool_calls")
    return calls[0] if calls else None


def _late_name(given: list[Event]) -> Iterator[Event]:
    names: dict[int, str] = {}
    for event in given:
        call = _tool(event)
        if call is None or isinstance(event.data, str):
            yield event
            continue
        data = json.loads(json.dumps(event.data))
        inner = data["choices"][0]["delta"]["tool_calls"][0]
        if "id" in inner:
            names[inner["index"]] = inner["function"].pop("name")
        elif inner["index"] in names:
            inner["function"]["name"] = names.pop(inner["index"])
        yield replace(event, data=data)


def _lost(given: list[Event]) -> list[Event]:
    found = [event for event in given if _tool(event)]
    return [event for event in given if event is not found[-1]] if len(found) > 2 else given


def _no_role(data: Json) -> None:
    for choice in data.get("choices") or []:
        if choice["delta"].get("content", "") is None:
            choice["delta"].pop("role", None)


def _finish(reason: str) -> Any:
    def each(data: Json) -> None:
        for choice in data.get("choices") or []:
            if choice["finish_reason"] == "tool_calls":
                choice["finish_reason"] = reason

    return chunks(each)


def _leak(given: list[Event]) -> Iterator[Event]:
    said = False
    for event in given:
        if _tool(event) and not said and not isinstance(event.data, str):
            said = True
            choice = event.data["choices"][0] | {"delta": {"content": "<tool_call>"}}
            yield replace(event, data=event.data | {"choices": [choice]})
        yield event


def _crash(wrong: Callable[[Request], Any], status: int = 500) -> Any:
    def answer(request: Request, given: Answer) -> Answer:
        if not wrong(request):
            return given
        inner = {"message": "tools failed", "type": "server_error", "param": None, "code": None}
        return Answer(status=status, body={"error": inner})

    return answering(answer, CHAT)


def _no_tools(request: Request) -> Request:
    return request.without("tools", "tool_choice", "parallel_tool_calls")


def _whole_only(request: Request) -> Request:
    return _no_tools(request) if not request.streams else request


def _stream_only(request: Request) -> Request:
    return _no_tools(request) if request.streams else request


def _begged(request: Request) -> Request:
    return request.having(tool_choice="required") if request.json.get("tools") else request


def _empty_calls(choice: Json) -> None:
    if not choice["message"].get("tool_calls"):
        choice["finish_reason"] = "tool_calls"
        choice["message"]["tool_calls"] = []


WHOLE = (
    Deviation(name="tools-refused", areas=("tools",), **_crash(lambda request: request.json.get("tools"), 400)),
    Deviation(name="tools-500", areas=("tools",), **_crash(lambda request: request.json.get("tools"))),
    Deviation(name="tools-ignored", areas=("tools",), **asking(_no_tools, CHAT)),
    Deviation(name="tools-ignored-whole-only", areas=("tools",), **asking(_whole_only, CHAT)),
    Deviation(name="tool-choice-ignored", areas=("tools",), **_choice(lambda _: "auto")),
    Deviation(name="tool-choice-required-ignored", areas=("tools",),
              **_choice(lambda given: "auto" if given == "required" else given)),
    Deviation(name="tool-choice-named-ignored", areas=("tools",),
              **_choice(lambda given: "auto" if isinstance(given, dict) else given)),
    Deviation(name="tool-choice-named-as-required", areas=("tools",),
              **_choice(lambda given: "required" if isinstance(given, dict) else given)),
    Deviation(name="tool-choice-none-ignored", areas=("tools",),
              **_choice(lambda given: "auto" if given == "none" else given)),
    Deviation(name="tool-choice-always-required", areas=("tools",), **asking(_begged, CHAT)),
    Deviation(name="tool-choice-none-refused", areas=("tools",), **_crash(
        lambda request: request.json.get("tool_choice") == "none" and not request.json.get("tools"), 400)),
    Deviation(name="tool-choice-allowed-500", areas=("tools",), **_crash(
        lambda request: isinstance(request.json.get("tool_choice"), dict)
        and request.json["tool_choice"].get("type") == "allowed_tools")),
    Deviation(name="tool-unknown-name-taken", areas=("tools",), **_choice(
        lambda given: "required" if isinstance(given, dict)
        and (given.get("function") or {}).get("name") == "no_such_tool" else given)),
    Deviation(name="tool-bad-choice-taken", areas=("tools",),
              **_choice(lambda given: "auto" if given == "banana" else given)),
    Deviation(name="tool-bad-schema-500", areas=("tools",), **_crash(
        lambda request: "hiccup" in str(request.json.get("tools")))),
    Deviation(name="tools-not-in-prompt", areas=("tools",), **answering(
        lambda request, given: replace(given, body=given.body | {"usage": given.body["usage"] | {"prompt_tokens": 20,
            "total_tokens": 20 + given.body["usage"]["completion_tokens"]}})
        if given.status == 200 and given.body and request.json.get("tools") else given, CHAT)),
    Deviation(name="parallel-off-ignored", areas=("tools",),
              **asking(lambda request: request.without("parallel_tool_calls"), CHAT)),
    Deviation(name="m02-arguments-object", areas=("tools",), **_calls(
        lambda call: call["function"].update(arguments=loaded(call["function"]["arguments"], {})))),
    Deviation(name="arguments-twice-encoded", areas=("tools",), **_calls(
        lambda call: call["function"].update(arguments=json.dumps(call["function"]["arguments"])))),
    Deviation(name="arguments-python", areas=("tools",), **_calls(
        lambda call: call["function"].update(arguments=str(loaded(call["function"]["arguments"], {}))))),
    Deviation(name="arguments-fenced", areas=("tools",), **_calls(
        lambda call: call["function"].update(arguments=f"```json\n{call['function']['arguments']}\n```"))),
    Deviation(name="arguments-null", areas=("tools",), **_calls(lambda call: call["function"].update(arguments=None))),
    Deviation(name="m03-no-id", areas=("tools",), **_calls(drop("id"))),
    Deviation(name="m03b-id-empty", areas=("tools",), **_calls(lambda call: call.update(id=""))),
    Deviation(name="m03c-id-number", areas=("tools",), **_calls(lambda call: call.update(id=3))),
    Deviation(name="ids-the-same", areas=("tools",), **_calls(lambda call: call.update(id="call_1"))),
    Deviation(name="m04-no-type", areas=("tools",), **_calls(drop("type"))),
    Deviation(name="type-tool", areas=("tools",), **_calls(lambda call: call.update(type="tool"))),
    Deviation(name="m05-finish-stop", areas=("tools",), **_called(lambda choice: choice | {"finish_reason": "stop"})),
    Deviation(name="m06-legacy", areas=("tools",), **_called(_legacy)),
    Deviation(name="calls-as-text", areas=("tools",), **_called(_as_text)),
    Deviation(name="call-flat", areas=("tools",), **_calls(lambda call: call.update(call.pop("function")))),
    Deviation(name="call-content-markup", areas=("tools",), **_called(
        lambda choice: choice["message"].update(content="<tool_call>"))),
    Deviation(name="calls-object-not-list", areas=("tools",), **_called(
        lambda choice: choice["message"].update(tool_calls=choice["message"]["tool_calls"][0]))),
    Deviation(name="m10-finish-tool-empty", areas=("tools",),
              **asking(lambda request: request, CHAT) | choices(_empty_calls)),
    Deviation(name="name-changed", areas=("tools",), **_calls(
        lambda call: call["function"].update(name=call["function"]["name"].replace("-", "_").lower()[:40]))),
    Deviation(name="m09-arguments-empty", areas=("tools",), **_calls(
        lambda call: call["function"].update(arguments="") if call["function"]["arguments"] == "{}" else None)),
    Deviation(name="strict-extra-key", areas=("tools",), **_anywhere(lambda found: found | {"extra": 1})),
    Deviation(name="strict-key-missing", areas=("tools",), **_anywhere(
        lambda found: dict(list(found.items())[:-1]) if found else found)),
    Deviation(name="strict-enum-broken", areas=("tools",), **_anywhere(
        lambda found: {key: "mauve" if isinstance(value, str) else value for key, value in found.items()})),
    Deviation(name="strict-booleans-text", areas=("tools",), **_anywhere(
        lambda found: {key: str(value) if isinstance(value, bool) else value for key, value in found.items()})),
    Deviation(name="strict-inner-ignored", areas=("tools",), **_anywhere(
        lambda found: {key: {} if isinstance(value, dict) else value for key, value in found.items()})),
    Deviation(name="arguments-sorted", areas=("tools",), **_anywhere(lambda found: dict(sorted(found.items())))),
    Deviation(name="tools-many-refused", areas=("tools",), **_crash(
        lambda request: len(request.json.get("tools") or []) > 32)),
    Deviation(name="tool-usage-zero", areas=("tools",), **answering(
        lambda request, given: replace(given, body=given.body | {"usage": given.body["usage"] | {
            "completion_tokens": 0, "total_tokens": given.body["usage"]["prompt_tokens"]}})
        if given.status == 200 and given.body and given.body["choices"][0]["message"].get("tool_calls") else given,
            CHAT)),
    Deviation(name="tool-schema-defs-refused", areas=("tools",), **_crash(
        lambda request: "$defs" in str(request.json.get("tools")))),
    Deviation(name="tool-custom-500", areas=("tools",), **_crash(
        lambda request: any(tool.get("type") == "custom" for tool in request.json.get("tools") or []))),
    Deviation(name="tool-message-role-tool", areas=("tools",), **_called(
        lambda choice: choice["message"].update(role="tool"))),
)  # fmt: skip

STREAMED = (
    Deviation(name="tools-ignored-streamed", areas=("tools-streamed",), **asking(_stream_only, CHAT)),
    Deviation(name="t41-no-index", areas=("tools-streamed",), **_pieces(drop("index"))),
    Deviation(name="t42-index-null", areas=("tools-streamed",), **_pieces(lambda call: call.update(index=None))),
    Deviation(name="index-as-text", areas=("tools-streamed",),
              **_pieces(lambda call: call.update(index=str(call["index"])))),
    Deviation(name="t43-id-every", areas=("tools-streamed",), **_later(lambda call: call.update(id="call_1"))),
    Deviation(name="t44-name-every", areas=("tools-streamed",),
              **_later(lambda call: call["function"].update(name="pick_color"))),
    Deviation(name="t45b-nulls", areas=("tools-streamed",), **_later(
        lambda call: (call.update(id=None, type=None), call["function"].update(name=None)))),
    Deviation(name="t46-no-type", areas=("tools-streamed",), **_first(drop("type"))),
    Deviation(name="t47-arguments-object", areas=("tools-streamed",), **_pieces(
        lambda call: call["function"].update(arguments={"color": "red"}))),
    Deviation(name="t48-index-from-one", areas=("tools-streamed",),
              **_pieces(lambda call: call.update(index=call["index"] + 1))),
    Deviation(name="t49-parallel-same-index", areas=("tools-streamed",), **_pieces(lambda call: call.update(index=0))),
    Deviation(name="t49d-same-ids", areas=("tools-streamed",), **_first(lambda call: call.update(id="call_1"))),
    Deviation(name="t51b-no-id", areas=("tools-streamed",), **_pieces(drop("id"))),
    Deviation(name="stream-id-empty", areas=("tools-streamed",), **_first(lambda call: call.update(id=""))),
    Deviation(name="t51c-name-late", areas=("tools-streamed",), **events(_late_name)),
    Deviation(name="t53-finish-stop", areas=("tools-streamed",), **_finish("stop")),
    Deviation(name="stream-finish-function-call", areas=("tools-streamed",), **_finish("function_call")),
    Deviation(name="t54-function-null", areas=("tools-streamed",), **_later(lambda call: call.update(function=None))),
    Deviation(name="t54b-legacy-pieces", areas=("tools-streamed",), **chunks(_legacy_pieces)),
    Deviation(name="stream-arguments-at-once", areas=("tools-streamed",), **events(_one_chunk)),
    Deviation(name="stream-arguments-lost", areas=("tools-streamed",), **events(_lost)),
    Deviation(name="stream-call-leak", areas=("tools-streamed",), **events(_leak)),
    Deviation(name="stream-call-no-role", areas=("tools-streamed",), **chunks(_no_role)),
)  # fmt: skip

DEVIATIONS = WHOLE + STREAMED
