"""Tools that a model without any competence calls rightly: closed schemas, strict, and the requests that force them."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import Ended, Finding, fail, ignored, inconclusive
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count, short
from llmserve.probe.schema import closed, violation
from llmserve.probe.stream import StreamAnswer
from llmserve.probe.strict_json import lenient

__all__ = [
    "BUDGET", "COLOR", "PLACE", "arguments", "call_of", "forced", "forced_stream", "function", "named", "no_call",
    "parsed", "put_together",
]  # fmt: skip

BUDGET = 256
"""Tokens for one call: grammars allow white space, and random weights use it."""

COLOR = closed({"color": {"type": "string", "enum": ["red", "green", "blue"]}, "bright": {"type": "boolean"}})
PLACE = closed({"place": {"type": "string", "enum": ["north", "south"]}})
_ASK = "Pick a color, please."


def function(name: str = "pick_color", schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A function tool, strict unless ``more`` says otherwise."""
    shape = COLOR if schema is None else schema
    described = {"name": name, "description": f"Call {name}.", "parameters": shape, "strict": True, **more}
    return {"type": "function", "function": described}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def forced(ctx: Context, tool: dict[str, Any] | None = None, *, choice: Any = "required", **fields: Any) -> Answer:
    """One call of ``tool``, demanded."""
    fields = {"tools": [tool or function()], "tool_choice": choice, "tokens": BUDGET, **fields}
    return ctx.chat(_ASK, **fields)


def forced_stream(
    ctx: Context, tool: dict[str, Any] | None = None, *, choice: Any = "required", **fields: Any
) -> StreamAnswer:
    fields = {"tools": [tool or function()], "tool_choice": choice, "tokens": BUDGET, **fields}
    return ctx.chat_stream(_ASK, **fields)


def call_of(answer: Answer) -> dict[str, Any]:
    """The first call of a forced answer, or the end of the check: it cannot say anything without one."""
    answer.accepted()
    if not answer.tool_calls:
        raise Ended(consequence(no_call(answer)))
    return as_dict(answer.tool_calls[0])


def no_call(answer: Answer) -> Finding:
    """What it means that a forced call did not come."""
    if as_dict(answer.message.get("function_call")):
        return fail("the call came as function_call, which is no longer read", rows=("m06_legacy",))
    if answer.finish == "length" and _begun(answer.text):
        return inconclusive(f"{BUDGET} tokens did not suffice for a call: {short(answer.text, 60)!r}")
    return ignored(f"tool_choice demands a call; text came: {short(answer.text, 60)!r}, finish {answer.finish!r}")


def consequence(found: Finding) -> Finding:
    """What a call that did not come means for the checks that wanted to look at one."""
    return inconclusive("text came instead") if found.verdict == "ignored" else found


def _begun(text: str) -> bool:
    """Whether a text looks like a call that was cut off."""
    start = text.lstrip()[:24]
    return not start or start.startswith(("<tool", "<function", "<|", "{", "[", "functools"))


def arguments(call: dict[str, Any]) -> Any:
    """``function.arguments`` as sent."""
    return dig(call, "function", "arguments")


def parsed(answer: Answer, call: dict[str, Any], schema: dict[str, Any]) -> Finding | None:
    """None where the arguments are JSON that satisfies ``schema``; else the finding."""
    told = arguments(call)
    if not isinstance(told, str):
        return fail(f"arguments are {short(repr(told), 60)}, no string", rows=("m02_args_object", "t47_args_object"))
    try:
        value = lenient(told.encode("utf-8", "surrogatepass"))
    except ValueError:
        if answer.finish == "length":
            return inconclusive(f"the call was cut off after {BUDGET} tokens: {short(told, 60)}")
        return fail(f"arguments are no JSON: {short(told, 80)!r}")
    broken = violation(value, schema)
    return fail(f"arguments {short(told, 60)}: {broken}") if broken else None


def put_together(answer: StreamAnswer) -> list[dict[str, Any]]:
    """The calls of a stream as openai-python joins them: by index, strings added up."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in answer.tool_deltas:
        index = delta.get("index")
        call = calls.setdefault(
            index if is_count(index) and isinstance(index, int) else len(calls),
            {"function": {"name": "", "arguments": ""}},
        )
        for key in ("id", "type"):
            if delta.get(key) is not None:
                call[key] = delta[key]
        inner = as_dict(delta.get("function"))
        for key in ("name", "arguments"):
            if isinstance(inner.get(key), str):
                call["function"][key] += inner[key]
    return [calls[index] for index in sorted(calls)]


def calls_in(answer: Answer) -> list[dict[str, Any]]:
    return [as_dict(call) for call in as_list(answer.message.get("tool_calls"))]
