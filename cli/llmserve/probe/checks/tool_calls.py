"""The calls themselves: ids, types, arguments, and what stands beside them."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, fail, in_area, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, dig, is_count, kind, short
from llmserve.probe.refusal import optional
from llmserve.probe.schema import closed
from llmserve.probe.shape import misfit
from llmserve.probe.strict_json import lenient
from llmserve.probe.tool_requests import BUDGET, PLACE, call_of, calls_in, forced, function, named, parsed

check = in_area("tools", needs=("calls",))

CALL = {"id": "text", "type": frozenset({"function"}), "function": {"name": "text", "arguments": "string"}}
ANSWER = {
    "id": "text", "object": frozenset({"chat.completion"}), "created": "count", "model": "text",
    "choices": [{
        "index": "count", "finish_reason": frozenset({"tool_calls", "stop", "length"}),
        "message": {"role": frozenset({"assistant"}), "content?": ("string", "null")},
    }],
}  # fmt: skip


@check(
    "tools.id", "Each call has an id", BREAKS, expects="id is a string that is not empty",
    source="spec; measured m03: no client can answer such a call", rows=("m03_no_id", "m03b_id_empty", "m03c_id_int"),
)  # fmt: skip
def has_id(ctx: Context) -> Finding:
    found = call_of(forced(ctx)).get("id")
    return verdict(isinstance(found, str) and bool(found), saw=f"id is {short(repr(found), 60)}")


@check(
    "tools.type", "Each call says its type", BREAKS, expects="type is 'function'",
    source="spec; measured m04: openai-node's parse() raises", rows=("m04_no_type",),
)  # fmt: skip
def has_type(ctx: Context) -> Finding:
    found = call_of(forced(ctx)).get("type")
    return verdict(found == "function", saw=f"type is {short(repr(found), 60)}")


@check(
    "tools.arguments", "Arguments are a string of JSON", BREAKS, expects="function.arguments is a string",
    source="spec; measured m02: AI SDK, LangChain, pydantic-ai raise", rows=("m02_args_object",),
)  # fmt: skip
def arguments_string(ctx: Context) -> Finding:
    found = dig(call_of(forced(ctx)), "function", "arguments")
    return verdict(isinstance(found, str), saw=f"arguments are {kind(found)}: {short(repr(found), 60)}")


@check(
    "tools.shape", "An answer with a call is a whole chat completion", BREAKS,
    expects="the required fields of answer, choice, message and call", source="spec CreateChatCompletionResponse",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    answer = forced(ctx)
    calls = calls_in(answer) or [call_of(answer)]
    wrong = misfit(answer.data, ANSWER) or next(filter(None, (misfit(call, CALL, "tool_call") for call in calls)), "")
    return verdict(not wrong, saw=wrong or "all required fields are there")


@check(
    "tools.finish", "A demanded call ends with tool_calls", BREAKS, expects="finish_reason 'tool_calls'",
    source="spec; vllm#25054, vllm#9209; measured m05", rows=("m05_fin_stop",),
)  # fmt: skip
def finish(ctx: Context) -> Finding:
    answer = forced(ctx)
    call_of(answer)
    if answer.finish == "length":
        return inconclusive(f"{BUDGET} tokens did not suffice")
    return verdict(answer.finish == "tool_calls", saw=f"finish_reason is {answer.finish!r}")


@check(
    "tools.finish_named", "A named call ends with stop or tool_calls", BREAKS, requests=1, tokens=BUDGET,
    expects="finish_reason 'stop' (as OpenAI) or 'tool_calls'", source="vllm#25054",
)  # fmt: skip
def finish_named(ctx: Context) -> Finding:
    answer = forced(ctx, tools=[function(), function("pick_place", PLACE)], choice=named("pick_color"))
    call_of(answer)
    if answer.finish == "length":
        return inconclusive(f"{BUDGET} tokens did not suffice")
    return verdict(answer.finish in ("tool_calls", "stop"), saw=f"finish_reason is {answer.finish!r}")


@check(
    "tools.content", "Nothing of a call stays in the text", FEATURE, expects="content is null or empty",
    source="leaked markup of templates; measured m01",
)  # fmt: skip
def content(ctx: Context) -> Finding:
    answer = forced(ctx)
    call_of(answer)
    found = answer.message.get("content")
    return verdict(
        found is None or (isinstance(found, str) and not found.strip()), saw=f"content is {short(found, 60)!r}"
    )


@check(
    "tools.usage", "Calls are counted", FEATURE, needs=("calls", "usage"),
    expects="completion_tokens above 0, and the sum right", source="spec CompletionUsage",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    answer = forced(ctx)
    call_of(answer)
    counts = [answer.usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total")]
    right = all(map(is_count, counts)) and counts[1] != 0 and counts[0] + counts[1] == counts[2]  # type: ignore[operator]
    return verdict(right, saw=f"prompt, completion, total: {counts}")


@check(
    "tools.no_parameters", "A tool without parameters is called with an object", FEATURE, requests=1, tokens=BUDGET,
    expects="arguments parse as {}", source="measured m09: parse() raises on ''", rows=("m09_args_empty",),
)  # fmt: skip
def no_parameters(ctx: Context) -> Finding:
    answer = forced(ctx, function("ring_bell", closed({})), choice=named("ring_bell"))
    call = call_of(answer)
    return parsed(answer, call, closed({})) or ok(f"arguments {dig(call, 'function', 'arguments')!r}")


@check(
    "tools.strict", "Strict mode holds nested schemas", FEATURE, requests=1, tokens=BUDGET,
    expects="arguments satisfy objects within objects and arrays of enums", source="spec FunctionObject.strict",
)  # fmt: skip
def strict(ctx: Context) -> Finding:
    shelf = closed({"side": {"type": "string", "enum": ["left", "right"]}, "full": {"type": "boolean"}})
    kinds = {"type": "array", "items": {"type": "string", "enum": ["pen", "cup"]}, "minItems": 1, "maxItems": 3}
    return _satisfies(ctx, closed({"shelf": shelf, "kinds": kinds}))


@check(
    "tools.refs", "Schemas with $defs, $ref and anyOf are taken", FEATURE, requests=1, tokens=BUDGET,
    expects="200, and arguments that satisfy the schema", source="pydantic writes $defs for every nested model",
)  # fmt: skip
def refs(ctx: Context) -> Finding:
    size = {"type": "string", "enum": ["small", "large"]}
    schema = closed(
        {"size": {"$ref": "#/$defs/Size"}, "again": {"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}]}}
    )
    return _satisfies(ctx, {**schema, "$defs": {"Size": size}})


def _satisfies(ctx: Context, schema: dict[str, Any]) -> Finding:
    answer = forced(ctx, function("arrange", schema), choice=named("arrange"))
    if finding := optional(answer):
        return finding
    call = call_of(answer)
    return parsed(answer, call, schema) or ok(f"arguments {short(dig(call, 'function', 'arguments'), 80)}")


@check(
    "tools.order", "Arguments come in the schema's order", COSMETIC, requests=1, tokens=BUDGET,
    expects="keys in the order of properties", source="MiniMax-Provider-Verifier",
)  # fmt: skip
def order(ctx: Context) -> Finding:
    yes = {"type": "boolean"}
    answer = forced(ctx, function("switch", closed({"zeta": yes, "alpha": yes, "mid": yes})), choice=named("switch"))
    call = call_of(answer)
    if finding := parsed(answer, call, closed({"zeta": yes, "alpha": yes, "mid": yes})):
        return finding
    keys = list(as_dict(lenient(str(dig(call, "function", "arguments")).encode())))
    return verdict(keys == ["zeta", "alpha", "mid"], saw=f"keys {keys}")


@check(
    "tools.name", "A long name with every allowed character comes back as it is", FEATURE, requests=1, tokens=BUDGET,
    expects="the name, unchanged", source="spec FunctionObject.name: a-z A-Z 0-9 _ -, 64 of them",
)  # fmt: skip
def name(ctx: Context) -> Finding:
    wanted = "a-b_C9" + "x" * 58
    answer = forced(ctx, function(wanted, PLACE), choice=named(wanted))
    found = dig(call_of(answer), "function", "name")
    return verdict(found == wanted, saw=f"called {short(found, 80)!r}")


@check(
    "tools.parallel", "Several calls have ids of their own", FEATURE, requests=1, tokens=2 * BUDGET,
    expects="distinct ids, every call whole", source="spec; measured t49d", rows=("t49d_same_id",),
)  # fmt: skip
def parallel(ctx: Context) -> Finding:
    calls = calls_in(_two(ctx))
    if len(calls) < 2:
        return inconclusive(f"the model made {len(calls)} call")
    ids = [call.get("id") for call in calls]
    wrong = next(filter(None, (misfit(call, CALL, "tool_call") for call in calls)), "")
    return verdict(len(set(map(repr, ids))) == len(ids) and not wrong, saw=wrong or f"ids {short(repr(ids), 100)}")


def _two(ctx: Context) -> Answer:
    both = [function(), function("pick_place", PLACE)]
    answer = ctx.chat("Call pick_color and call pick_place.", tools=both, tool_choice="required", tokens=2 * BUDGET)
    answer.accepted()
    return answer


@check(
    "tools.many", "Sixty-four tools are taken", COSMETIC, requests=1, tokens=1,
    expects="200", source="agents send many",
)  # fmt: skip
def many(ctx: Context) -> Finding:
    ctx.chat(tools=[function(f"tool_{number}", PLACE) for number in range(64)], tokens=1).accepted()
    return ok("200")


@check(
    "tools.loose", "Without strict a call still comes", COSMETIC, requests=1, tokens=BUDGET,
    expects="a call; how well it keeps to the schema is the model's", source="measured: some constrain only if strict",
)  # fmt: skip
def loose(ctx: Context) -> Finding:
    tool = function()
    tool["function"].pop("strict")
    answer = forced(ctx, tool)
    answer.accepted()
    if not calls_in(answer):
        return inconclusive(f"no call without strict, finish {answer.finish!r}: it may be the model")
    finding = parsed(answer, calls_in(answer)[0], tool["function"]["parameters"])
    if finding:
        return fail(finding.saw) if not isinstance(dig(calls_in(answer)[0], "function", "arguments"), str) else (
            inconclusive(f"unconstrained without strict: {finding.saw}")
        )  # fmt: skip
    return ok("a call that satisfies the schema")
