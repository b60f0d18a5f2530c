"""The Responses API: create, retrieve, delete, input items, and the order of its stream's events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai.answer import Answer, Event, Json, RefusalError, Request
from tests.fakes.openai.chat import outputs_of
from tests.fakes.openai.outputs import Output
from tests.fakes.openai.parameters import RESPONSES, check
from tests.fakes.openai.prompt import of_chat
from tests.fakes.openai.settings import Settings

__all__ = ["Responses"]


@dataclass
class Responses:
    """The stored answers, by id: the answer and the input that led to it."""

    stored: dict[str, tuple[Json, list[Json]]] = field(default_factory=dict)

    def create(self, request: Request, settings: Settings) -> Answer:
        body = request.json
        check(body, RESPONSES)
        settings.chat(body["model"])
        items = self._before(body) + _items(body["input"])
        chat = _as_chat(body, items)
        prompt = of_chat(chat)
        settings.fit(prompt)
        output = outputs_of(chat, prompt, settings, str(request.number))[0]
        response = _response(request, settings, prompt, output)
        if body.get("store") is not False:
            self.stored[response["id"]] = (response, items)
        return Answer(events=list(_events(response))) if request.streams else Answer(body=response)

    def _before(self, body: Json) -> list[Json]:
        previous = body.get("previous_response_id")
        if previous is None:
            return []
        response, items = self._find(previous, "previous_response_id")
        return [*items, *response["output"]]

    def _find(self, name: str, param: str | None = None) -> tuple[Json, list[Json]]:
        if name not in self.stored:
            code = "previous_response_not_found" if param else None
            status = 400 if param else 404
            raise RefusalError(status, f"Response with id '{name}' not found.", code=code, param=param)
        return self.stored[name]

    def one(self, request: Request, name: str) -> Answer:
        response, _ = self._find(name)
        if request.method == "DELETE":
            del self.stored[name]
            return Answer(body={"id": name, "object": "response", "deleted": True})
        return Answer(body=response)

    def inputs(self, name: str) -> Answer:
        _, items = self._find(name)
        data = [{"id": f"msg_in{place}", "type": "message", **item} for place, item in enumerate(items)]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return Answer(body={"object": "list", "data": data, "has_more": False, **ends})

    def count(self, request: Request, settings: Settings) -> Answer:
        body = request.json
        check(body, RESPONSES)
        settings.chat(body["model"])
        prompt = of_chat(_as_chat(body, self._before(body) + _items(body["input"])))
        return Answer(body={"object": "response.input_tokens", "input_tokens": len(prompt)})


def _items(given: Any) -> list[Json]:
    return [{"role": "user", "content": given}] if isinstance(given, str) else list(given)


def _as_chat(body: Json, items: list[Json]) -> Json:
    messages: list[Json] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    messages += [message for place, item in enumerate(items) if (message := _message(item, place))]
    tools = [_tool(tool, place) for place, tool in enumerate(body.get("tools") or [])]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    shape = (body.get("text") or {}).get("format") or {}
    wanted = {"type": "json_schema", "json_schema": shape} if shape.get("type") == "json_schema" else shape
    names = ("temperature", "top_p", "parallel_tool_calls")
    chat: Json = {"messages": messages, "max_tokens": body.get("max_output_tokens"), "response_format": wanted}
    chat |= {name: body[name] for name in names if name in body}
    chat["reasoning_effort"] = (body.get("reasoning") or {}).get("effort")
    tools = [tool for tool in tools if tool]
    return chat | ({"tools": tools, "tool_choice": choice or "auto"} if tools else {})


def _tool(tool: Json, place: int) -> Json | None:
    if tool.get("type") == "function":
        return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}
    if tool.get("type") in ("custom", "web_search", "local_shell", "apply_patch"):
        return None
    raise RefusalError(400, f"Invalid value: '{tool.get('type')}'.", code="invalid_value", param=f"tools[{place}].type")


def _message(item: Json, place: int) -> Json | None:
    kind = item.get("type", "message")
    if kind == "message":
        return {"role": item.get("role"), "content": item.get("content")}
    if kind == "function_call":
        call = {"id": item.get("call_id"), "function": {"name": item["name"], "arguments": item["arguments"]}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "function_call_output":
        output = item.get("output")
        content = output if isinstance(output, str) else json.dumps(output)
        return {"role": "tool", "content": content, "tool_call_id": item.get("call_id")}
    if kind == "reasoning":
        return None
    raise RefusalError(400, f"Invalid value: '{kind}'.", code="invalid_value", param=f"input[{place}].type")


def _response(request: Request, settings: Settings, prompt: tuple[int, ...], output: Output) -> Json:
    body, number = request.json, f"{request.number:024x}"
    cut = output.finish == "length"
    status = "incomplete" if cut else "completed"
    tool_choice = body.get("tool_choice") or "auto"
    return {
        "id": f"resp_{number}", "object": "response", "created_at": settings.now(), "status": status,
        "background": False, "completed_at": settings.now(), "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"), "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None, "model": settings.chat_model, "output": _output(output, number, status),
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
        "service_tier": "default", "store": body.get("store") is not False,
        "temperature": 1.0 if body.get("temperature") is None else body["temperature"],
        "text": {"format": {"type": "text"}, **(body.get("text") or {})}, "tool_choice": tool_choice,
        "tools": body.get("tools") or [], "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": 1.0 if body.get("top_p") is None else body["top_p"],
        "truncation": body.get("truncation") or "disabled",
        "usage": {
            "input_tokens": len(prompt), "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output.count, "output_tokens_details": {"reasoning_tokens": output.thinking},
            "total_tokens": len(prompt) + output.count,
        },
        "user": body.get("user"), "metadata": body.get("metadata") or {},
    }  # fmt: skip


def _output(output: Output, number: str, status: str) -> list[Json]:
    items: list[Json] = []
    if output.thoughts:
        thought = {"type": "reasoning_text", "text": output.thoughts}
        items.append({"id": f"rs_{number}", "type": "reasoning", "summary": [], "content": [thought], "status": status})
    for place, call in enumerate(output.calls):
        items.append({
            "id": f"fc_{number}{place}", "type": "function_call", "status": status, "call_id": f"call_{number}{place}",
            "name": call.name, "arguments": call.arguments,
        })  # fmt: skip
    if output.text or not items:
        part = {"type": "output_text", "text": output.text, "annotations": [], "logprobs": []}
        items.append({
            "id": f"msg_{number}", "type": "message", "status": status, "role": "assistant", "content": [part],
        })  # fmt: skip
    return items


def _events(response: Json) -> Iterator[Event]:
    """In the order that OpenAI has, each with its number."""
    for number, data in enumerate(_bodies(response)):
        yield Event({"type": data["type"], "sequence_number": number, **data}, data["type"])


def _bodies(response: Json) -> Iterator[Json]:
    begun = response | {"status": "in_progress", "output": [], "usage": None, "completed_at": None,
                        "incomplete_details": None}  # fmt: skip
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        inner = _INNER[item["type"]]
        empty = item | {"status": "in_progress"} | _emptied(item)
        yield {"type": "response.output_item.added", "output_index": index, "item": empty}
        yield from inner(item, {"item_id": item["id"], "output_index": index})
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def _emptied(item: Json) -> Json:
    return {"arguments": ""} if "arguments" in item else {"content": []}


def _message_events(item: Json, place: Json) -> Iterator[Json]:
    for number, part in enumerate(item["content"]):
        where = {**place, "content_index": number}
        yield {"type": "response.content_part.added", **where, "part": part | {"text": ""}}
        for start in range(0, len(part["text"]), 5):
            delta = part["text"][start : start + 5]
            yield {"type": "response.output_text.delta", **where, "delta": delta, "logprobs": []}
        yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **where, "part": part}


def _call_events(item: Json, place: Json) -> Iterator[Json]:
    arguments = item["arguments"]
    for start in range(0, len(arguments), 6):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": arguments[start : start + 6]}
    yield {"type": "response.function_call_arguments.done", **place, "name": item["name"], "arguments": arguments}


def _thought_events(item: Json, place: Json) -> Iterator[Json]:
    where, text = {**place, "content_index": 0}, item["content"][0]["text"]
    yield {"type": "response.content_part.added", **where, "part": {"type": "reasoning_text", "text": ""}}
    yield {"type": "response.reasoning_text.delta", **where, "delta": text}
    yield {"type": "response.reasoning_text.done", **where, "text": text}
    yield {"type": "response.content_part.done", **where, "part": item["content"][0]}


_INNER = {"message": _message_events, "function_call": _call_events, "reasoning": _thought_events}
