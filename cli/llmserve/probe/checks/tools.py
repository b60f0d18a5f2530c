"""Tools: whether they are taken, and whether tool_choice is obeyed. Grammars make any model call them."""

from __future__ import annotations

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, fail, ignored, in_area, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, dig, short
from llmserve.probe.needs import need
from llmserve.probe.refusal import must_refuse, never_500, optional
from llmserve.probe.tool_requests import (
    BUDGET,
    PLACE,
    call_of,
    calls_in,
    consequence,
    forced,
    function,
    named,
    no_call,
    parsed,
)

check = in_area("tools", needs=("tools",))

BEGGING = "Call pick_color now."
BOTH = "Call pick_color and call pick_place."


@need("tools", needs=("chat",), requests=1)
def tools(ctx: Context) -> Finding | None:
    """Requests with tools are taken; what they bring is for the checks."""
    return optional(ctx.chat(tools=[function()], tokens=1))


@need("calls", needs=("tools",), requests=1)
def calls(ctx: Context) -> Finding | None:
    """A demanded call comes: without one, a dozen more demands would say nothing and cost much."""
    answer = forced(ctx)
    if not answer.is_ok or answer.tool_calls or as_dict(answer.message.get("function_call")):
        return None
    return inconclusive(f"no call came to look at: {consequence(no_call(answer)).saw} (see tools.required)")


@check(
    "tools.accepted", "A request may offer tools", BREAKS, needs=("chat",), quick=True, requests=1, tokens=1,
    expects="200", source="spec ChatCompletionTool",
)  # fmt: skip
def accepted(ctx: Context) -> Finding:
    ctx.chat(tools=[function()], tokens=1).accepted()
    return ok("200")


@check(
    "tools.required", "tool_choice required brings a call", FEATURE, quick=True, requests=1, tokens=BUDGET,
    expects="a call whose arguments satisfy the strict schema", source="spec; vllm#53255, vllm#53363",
)  # fmt: skip
def required(ctx: Context) -> Finding:
    answer = forced(ctx)
    answer.accepted()
    if not answer.tool_calls:
        return no_call(answer)
    call = call_of(answer)
    schema = function()["function"]["parameters"]
    return parsed(answer, call, schema) or ok(f"called with {short(dig(call, 'function', 'arguments'), 60)}")


@check(
    "tools.named", "A named tool is the one that is called", FEATURE, requests=2, tokens=2 * BUDGET,
    expects="exactly one call, of the tool that tool_choice names", source="spec; vllm#25054, ollama#17921",
)  # fmt: skip
def named_one(ctx: Context) -> Finding:
    both = [function(), function("pick_place", PLACE)]
    for name in ("pick_color", "pick_place"):
        answer = forced(ctx, tools=both, choice=named(name))
        answer.accepted()
        if not answer.tool_calls:
            return no_call(answer)
        names = [dig(call, "function", "name") for call in calls_in(answer)]
        if names != [name]:
            return fail(f"tool_choice names {name}; called: {short(repr(names), 60)}")
    return ok("each of two tools was called when it was named")


@check(
    "tools.none", "tool_choice none brings no call", FEATURE, requests=1, tokens=64,
    expects="no tool_calls", source="spec; ollama#17921, ollama#8421",
)  # fmt: skip
def none(ctx: Context) -> Finding:
    answer = ctx.chat(BEGGING, tools=[function()], tool_choice="none", tokens=64)
    answer.accepted()
    if calls_in(answer):
        return ignored(f"tool_choice none, and yet a call of {dig(calls_in(answer)[0], 'function', 'name')!r}")
    return ok("no call, though the prompt begs for it")


@check(
    "tools.text", "Text beside offered tools ends as text", BREAKS, rows=("m10_fin_tool_empty",),
    expects="finish_reason 'stop' or 'length', content a string", source="measured m10: no client notices; vllm#53255",
)  # fmt: skip
def text(ctx: Context) -> Finding:
    answer = ctx.chat(BEGGING, tools=[function()], tool_choice="none", tokens=64)
    answer.accepted()
    if calls_in(answer):
        return inconclusive("a call came (see tools.none)")
    right = answer.finish in ("stop", "length") and isinstance(answer.message.get("content"), str)
    return verdict(right, saw=f"finish_reason {answer.finish!r}, content {short(answer.message.get('content'), 40)!r}")


@check(
    "tools.none_alone", "tool_choice none is fine without tools", COSMETIC, requests=1, tokens=1,
    expects="200", source="vllm#9426",
)  # fmt: skip
def none_alone(ctx: Context) -> Finding:
    ctx.chat(tool_choice="none", tokens=1).accepted(refusal="fail")
    return ok("200")


@check(
    "tools.allowed", "allowed_tools limits the choice", COSMETIC, needs=("calls",), requests=1, tokens=BUDGET,
    expects="a call of an allowed tool, or a clean refusal", source="spec ChatCompletionAllowedToolsChoice",
)  # fmt: skip
def allowed(ctx: Context) -> Finding:
    both = [function(), function("pick_place", PLACE)]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
        {"type": "function", "function": {"name": "pick_place"}}]}}  # fmt: skip
    answer = forced(ctx, tools=both, choice=choice)
    if finding := optional(answer):
        return finding
    names = [dig(call, "function", "name") for call in calls_in(answer)]
    if not names:
        return no_call(answer)
    return verdict(
        all(name == "pick_place" for name in names),
        saw=f"pick_place alone is allowed; called: {short(repr(names), 60)}",
    )


@check(
    "tools.auto", "What comes by itself is of one kind", BREAKS, requests=1, tokens=64,
    expects="text with finish stop or length, or calls with finish tool_calls", source="measured m05, m10; vllm#53255",
    rows=("m10_fin_tool_empty", "m05_fin_stop"),
)  # fmt: skip
def auto(ctx: Context) -> Finding:
    answer = ctx.chat(BEGGING, tools=[function()], tool_choice="auto", tokens=64)
    answer.accepted()
    count, finish = len(calls_in(answer)), answer.finish
    if count:
        return verdict(finish in ("tool_calls", "length"), saw=f"{count} calls, finish_reason {finish!r}")
    return verdict(finish in ("stop", "length"), saw=f"no call, finish_reason {finish!r}")


@check(
    "tools.unknown_name", "A tool_choice that names no tool is refused", COSMETIC, requests=1,
    expects="400 in the envelope", source="spec",
)  # fmt: skip
def unknown_name(ctx: Context) -> Finding:
    return must_refuse(forced(ctx, choice=named("no_such_tool"), tokens=1), "a tool_choice that names no tool")


@check(
    "tools.bad_choice", "A tool_choice that is no word of the API is refused", COSMETIC, requests=1,
    expects="400 in the envelope", source="spec ChatCompletionToolChoiceOption",
)  # fmt: skip
def bad_choice(ctx: Context) -> Finding:
    return must_refuse(forced(ctx, choice="banana", tokens=1), "tool_choice banana")


@check(
    "tools.bad_schema", "Parameters that are no schema do not crash it", FEATURE, requests=1, tokens=1,
    expects="400 in the envelope (or 200), never a 5xx", source="llama.cpp#23463",
)  # fmt: skip
def bad_schema(ctx: Context) -> Finding:
    tool = function(schema={"type": "hiccup"})
    return never_500(forced(ctx, tool, tokens=1), "parameters of type hiccup")


@check(
    "tools.parallel_off", "parallel_tool_calls false brings one call", FEATURE, needs=("calls",),
    requests=1, tokens=BUDGET,
    expects="exactly one call", source="spec parallel_tool_calls",
)  # fmt: skip
def parallel_off(ctx: Context) -> Finding:
    both = [function(), function("pick_place", PLACE)]
    answer = ctx.chat(BOTH, tools=both, tool_choice="required", parallel_tool_calls=False, tokens=BUDGET)
    call_of(answer)
    return verdict(len(calls_in(answer)) == 1, saw=f"{len(calls_in(answer))} calls")


@check(
    "tools.roundtrip", "A tool's result reaches the model", BREAKS, needs=("chat", "usage"), requests=2, tokens=2,
    expects="prompt_tokens grow by the size of the result", source="spec; every agent's loop",
)  # fmt: skip
def roundtrip(ctx: Context) -> Finding:
    counts = [_after_tool(ctx, text).tokens("prompt") for text in ("ok", "ok " + "seven lamps burn here " * 6)]
    grown = counts[1] - counts[0]
    return verdict(grown >= 12, saw=f"a result that is 24 words longer adds {grown} prompt tokens")


def _after_tool(ctx: Context, result: str) -> Answer:
    call = {"id": "call_a1", "type": "function", "function": {"name": "pick_color", "arguments": '{"color":"red"}'}}
    said = [
        {"role": "user", "content": "Pick a color."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_a1", "content": result},
    ]
    answer = ctx.chat(said, tools=[function()], tokens=1)
    answer.accepted(refusal="fail")
    return answer


@check(
    "tools.in_prompt", "Tools are shown to the model", FEATURE, needs=("tools", "usage"), requests=2, tokens=2,
    expects="prompt_tokens grow with a tool's description", source="spec; templates without tools drop them",
)  # fmt: skip
def in_prompt(ctx: Context) -> Finding:
    long = function(description="This tool picks a color for the lamp on the table. " * 6)
    short_, longer = ctx.chat(tools=[function()], tokens=1), ctx.chat(tools=[long], tokens=1)
    grown = longer.tokens("prompt") - short_.tokens("prompt")
    if grown <= 0:
        return ignored(f"a description that is 60 words longer adds {grown} prompt tokens: the template drops tools")
    return ok(f"a description that is 60 words longer adds {grown} prompt tokens")


@check(
    "tools.custom", "A custom tool is called, or refused cleanly", COSMETIC, requests=1, tokens=8,
    expects="200, or 400 in the envelope", source="spec CustomToolChatCompletions",
)  # fmt: skip
def custom(ctx: Context) -> Finding:
    answer = ctx.chat(tools=[{"type": "custom", "custom": {"name": "write_note"}}])
    return optional(answer) or ok("200")


@check(
    "tools.functions", "The old functions field is served, or refused cleanly", COSMETIC, needs=("calls",),
    requests=1, tokens=BUDGET, expects="a function_call, or 400 in the envelope", source="spec functions, deprecated",
)  # fmt: skip
def functions(ctx: Context) -> Finding:
    inner = {key: value for key, value in function()["function"].items() if key != "strict"}
    answer = ctx.chat(functions=[inner], function_call={"name": "pick_color"}, tokens=BUDGET)
    if finding := optional(answer):
        return finding
    if as_dict(answer.message.get("function_call")) or calls_in(answer):
        return ok("a call came")
    return inconclusive("200 without a function_call: the field is probably not read (it is deprecated)")
