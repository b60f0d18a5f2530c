"""Structured output: closed schemas, which constrained decoding satisfies on any weights."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import COSMETIC, FEATURE, Finding, fail, ignored, in_area, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, short
from llmserve.probe.needs import need
from llmserve.probe.refusal import must_refuse, never_500, optional
from llmserve.probe.schema import closed, violation
from llmserve.probe.shape import misfit
from llmserve.probe.strict_json import strict
from llmserve.probe.tool_requests import function

check = in_area("structured", needs=("structured",))

BUDGET = 256
LAMP = closed({"color": {"type": "string", "enum": ["red", "green"]}, "on": {"type": "boolean"}})
ASK = "Describe a lamp as JSON."


def wanted(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The response_format for ``schema``."""
    return {"type": "json_schema", "json_schema": {"name": "lamp", "strict": True, "schema": schema, **more}}


def asked(ctx: Context, schema: dict[str, Any], **fields: Any) -> Answer:
    return ctx.chat(ASK, tokens=BUDGET, response_format=wanted(schema), **fields)


@need("structured", needs=("chat",), requests=1)
def structured(ctx: Context) -> Finding | None:
    """Requests with a JSON schema are taken; whether it is kept to is for the checks."""
    return optional(asked(ctx, LAMP))


def judged(answer: Answer, schema: dict[str, Any]) -> Finding:
    """Whether the answer's text satisfies ``schema``."""
    if finding := optional(answer):
        return finding
    text = answer.text
    try:
        value = strict(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        if answer.finish == "length" and text.lstrip().startswith("{"):
            return inconclusive(f"{BUDGET} tokens did not suffice: {short(text, 60)!r}")
        if answer.message.get("refusal"):
            return inconclusive(f"the model refused: {short(answer.message['refusal'], 60)}")
        return ignored(f"the text is no JSON ({short(str(error), 40)}): {short(text, 60)!r}")
    broken = violation(value, schema)
    return ignored(f"{short(text, 60)}: {broken}") if broken else ok(short(text, 80))


@check(
    "structured.schema", "A strict schema is kept", FEATURE, quick=True, tokens=BUDGET,
    expects="content is JSON that satisfies the schema", source="spec ResponseFormatJsonSchema; hindsight#2674",
)  # fmt: skip
def schema(ctx: Context) -> Finding:
    return judged(asked(ctx, LAMP), LAMP)


@check(
    "structured.accepted", "A request may name a JSON schema", FEATURE, needs=("chat",),
    expects="200", source="spec response_format",
)  # fmt: skip
def accepted(ctx: Context) -> Finding:
    asked(ctx, LAMP).accepted()
    return ok("200")


@check(
    "structured.finish", "It ends with stop", FEATURE, expects="finish_reason 'stop' once the document is complete",
    source="spec",
)  # fmt: skip
def finish(ctx: Context) -> Finding:
    answer = asked(ctx, LAMP)
    answer.accepted()
    if answer.finish == "length":
        return inconclusive(f"{BUDGET} tokens did not suffice")
    return verdict(answer.finish == "stop", saw=f"finish_reason is {answer.finish!r}")


@check(
    "structured.fence", "No markdown around it", FEATURE, expects="content begins with { and ends with }",
    source="venice/api-docs#264, mealie#8133",
)  # fmt: skip
def fence(ctx: Context) -> Finding:
    answer = asked(ctx, LAMP)
    answer.accepted()
    text = answer.text.strip()
    if answer.finish == "length" and text.startswith("{"):
        return inconclusive(f"{BUDGET} tokens did not suffice")
    return verdict(text.startswith("{") and text.endswith("}"), saw=f"content {short(text, 60)!r}")


@check(
    "structured.message", "The message is like any other", FEATURE, expects="role assistant, content a string",
    source="spec ChatCompletionResponseMessage",
)  # fmt: skip
def message(ctx: Context) -> Finding:
    answer = asked(ctx, LAMP)
    answer.accepted()
    shape = {"role": frozenset({"assistant"}), "content": "string", "refusal?": ("string", "null"),
             "tool_calls?": ("null", "array")}  # fmt: skip
    wrong = misfit(answer.message, shape, "message")
    return verdict(not wrong, saw=wrong or "it is")


@check(
    "structured.stream", "Streamed, the schema is kept too", FEATURE, needs=("structured", "stream"), requests=1,
    tokens=BUDGET, expects="the pieces join to JSON that satisfies the schema", source="spec",
)  # fmt: skip
def stream(ctx: Context) -> Finding:
    answer = ctx.chat_stream(ASK, tokens=BUDGET, response_format=wanted(LAMP))
    answer.streamed()
    try:
        value = strict(answer.text.encode("utf-8", "surrogatepass"))
    except ValueError:
        if answer.finish == "length" and answer.text.lstrip().startswith("{"):
            return inconclusive(f"{BUDGET} tokens did not suffice")
        return ignored(f"the pieces join to no JSON: {short(answer.text, 60)!r}")
    broken = violation(value, LAMP)
    return ignored(f"{short(answer.text, 60)}: {broken}") if broken else ok(short(answer.text, 80))


@check(
    "structured.unicode", "Characters of several bytes come whole", FEATURE, requests=2, tokens=2 * BUDGET,
    needs=("structured", "stream"), expects="the enum's value to the code point, also streamed",
    source="detokenisers that split UTF-8",
)  # fmt: skip
def unicode(ctx: Context) -> Finding:
    word = "réd😀"
    shape = closed({"word": {"type": "string", "enum": [word]}})
    answer = asked(ctx, shape)
    finding = judged(answer, shape)
    if finding.verdict != "pass":
        return fail(finding.saw) if "�" in answer.text else finding
    streamed = ctx.chat_stream(ASK, tokens=BUDGET, response_format=wanted(shape))
    streamed.streamed()
    if streamed.finish == "length":
        return inconclusive(f"{BUDGET} tokens did not suffice")
    right = word in streamed.text or "r\\u00e9d" in streamed.text.lower()
    return verdict(right and "�" not in streamed.text, saw=f"streamed {short(streamed.text, 60)!r}")


@check(
    "structured.object", "json_object brings an object", FEATURE, requests=1, tokens=BUDGET, needs=("chat",),
    expects="content parses as a JSON object", source="spec ResponseFormatJsonObject",
)  # fmt: skip
def json_object(ctx: Context) -> Finding:
    answer = ctx.chat("Answer in JSON.", tokens=BUDGET, response_format={"type": "json_object"})
    if finding := optional(answer):
        return finding
    try:
        value = strict(answer.text.encode("utf-8", "surrogatepass"))
    except ValueError:
        if answer.finish == "length" and answer.text.lstrip().startswith("{"):
            return inconclusive(f"{BUDGET} tokens did not suffice for this model: {short(answer.text, 60)!r}")
        return ignored(f"the text is no JSON: {short(answer.text, 60)!r}")
    return verdict(isinstance(value, dict), saw=short(answer.text, 80))


@check(
    "structured.text", "response_format text changes nothing", FEATURE, requests=1, tokens=8, needs=("chat", "greedy"),
    expects="200 and the same text as without", source="spec ResponseFormatText",
)  # fmt: skip
def text_format(ctx: Context) -> Finding:
    answer, plain = ctx.chat(response_format={"type": "text"}), ctx.chat()
    answer.accepted(refusal="fail")
    return verdict(answer.text == plain.text, saw=f"{short(answer.text, 40)!r}; without, {short(plain.text, 40)!r}")


@check(
    "structured.bad_schema", "A schema that is none is refused", FEATURE, requests=1,
    expects="400 in the envelope", source="llama.cpp#23463",
)  # fmt: skip
def bad_schema(ctx: Context) -> Finding:
    return must_refuse(asked(ctx, {"type": "hiccup"}), "a schema of type hiccup")


@check(
    "structured.bad_type", "An unknown response_format is refused", COSMETIC, requests=1, needs=("chat",),
    expects="400 in the envelope", source="spec response_format",
)  # fmt: skip
def bad_type(ctx: Context) -> Finding:
    return must_refuse(ctx.chat(response_format={"type": "sound"}), "response_format sound")


@check(
    "structured.no_name", "A schema without a name does not crash it", COSMETIC, requests=1,
    expects="400 in the envelope (as OpenAI) or 200", source="spec: name is required",
)  # fmt: skip
def no_name(ctx: Context) -> Finding:
    shape = {"type": "json_schema", "json_schema": {"schema": LAMP}}
    return never_500(ctx.chat(ASK, tokens=1, response_format=shape), "a schema without a name")


@check(
    "structured.with_tools", "A schema and tools go together", FEATURE, requests=1, tokens=1,
    expects="200", source="agents send both",
)  # fmt: skip
def with_tools(ctx: Context) -> Finding:
    ctx.chat(ASK, tokens=1, response_format=wanted(LAMP), tools=[function()]).accepted()
    return ok("200")


@check(
    "structured.several", "Each of two choices keeps to the schema", FEATURE, requests=1, tokens=2 * BUDGET,
    expects="two choices, both valid", source="sglang test_reasoning_json_schema_n",
)  # fmt: skip
def several(ctx: Context) -> Finding:
    answer = asked(ctx, LAMP, n=2)
    if finding := optional(answer):
        return finding
    if len(answer.choices) != 2:
        return inconclusive(f"n=2 brings {len(answer.choices)} choices (see the area parameters)")
    for choice in map(as_dict, answer.choices):
        text = str(as_dict(choice.get("message")).get("content"))
        try:
            broken = violation(strict(text.encode("utf-8", "surrogatepass")), LAMP)
        except ValueError:
            if choice.get("finish_reason") == "length":
                return inconclusive(f"{BUDGET} tokens did not suffice")
            return ignored(f"choice {choice.get('index')} is no JSON: {short(text, 60)!r}")
        if broken:
            return ignored(f"choice {choice.get('index')}: {broken}")
    return ok("both")
