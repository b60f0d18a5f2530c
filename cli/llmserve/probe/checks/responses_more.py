"""The Responses API as agents use it: tools, structured text, stored answers, and what Codex sends."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Ended,
    Finding,
    fail,
    ignored,
    in_area,
    inconclusive,
    ok,
    unsupported,
    verdict,
)
from llmserve.probe.checks.responses import LONG, body_of, input_tokens, respond, text_of, user
from llmserve.probe.checks.responses_stream import EVENTS, disorder, kinds_of
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, short
from llmserve.probe.refusal import must_refuse, optional
from llmserve.probe.schema import closed, violation
from llmserve.probe.shape import misfit
from llmserve.probe.stream import StreamAnswer
from llmserve.probe.strict_json import strict
from llmserve.probe.tool_requests import BUDGET, COLOR, parsed

check = in_area("responses", needs=("responses",))

TOOL = {"type": "function", "name": "pick_color", "description": "Pick.", "parameters": COLOR, "strict": True}
CALL = {
    "id?": "text", "type": frozenset({"function_call"}), "call_id": "text", "name": "text", "arguments": "string",
    "status?": frozenset({"in_progress", "completed", "incomplete"}),
}  # fmt: skip
FORCED: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required"}


def _call(answer: Answer, output: Any) -> dict[str, Any]:
    """The function_call item, or the end of the check."""
    calls = [as_dict(item) for item in as_list(output) if dig(item, "type") == "function_call"]
    if calls:
        return calls[0]
    if dig(answer.data, "status") == "incomplete":
        raise Ended(inconclusive(f"{BUDGET} tokens did not suffice for a call"))
    raise Ended(ignored(f"tool_choice demands a call; items {[dig(item, 'type') for item in as_list(output)]}"))


@check(
    "responses.tool", "A demanded tool is called", FEATURE, requests=1, tokens=BUDGET,
    expects="a function_call item with call_id, name, and arguments that satisfy the schema", source="spec",
)  # fmt: skip
def tool(ctx: Context) -> Finding:
    answer = respond(ctx, "Pick a color.", limit=BUDGET, **FORCED)
    found = _call(answer, answer.accepted().get("output"))
    if wrong := misfit(found, CALL, "function_call"):
        return fail(wrong)
    call = {"function": {"arguments": found["arguments"]}}
    return parsed(answer, call, COLOR) or verdict(found["name"] == "pick_color", saw=f"called {found['name']!r}")


@check(
    "responses.tool_stream", "A call streams with all its events", BREAKS, requests=1, tokens=BUDGET,
    rows=("f01",), expects="item added, argument deltas, arguments.done, item done",
    source="measured f01; Open Responses compliance tests",
)  # fmt: skip
def tool_stream(ctx: Context) -> Finding:
    answer = ctx.stream("/responses", body_of(ctx, "Pick a color.", BUDGET, stream=True, **FORCED))
    answer.streamed()
    found = _call(answer, dig(answer.chunks[-1].data, "response", "output"))
    kinds = kinds_of(answer)
    for name in (
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ):
        if f"response.{name}" not in kinds:
            return fail(f"there is no response.{name}")
    for chunk in answer.chunks:
        if wrong := misfit(chunk.data, EVENTS.get(str(dig(chunk.data, "type")), {}), str(dig(chunk.data, "type"))):
            return fail(wrong)
    return _agree(answer, found, disorder(kinds))


def _agree(answer: StreamAnswer, found: dict[str, Any], fault: str) -> Finding:
    data = [as_dict(chunk.data) for chunk in answer.chunks]
    deltas = [one.get("delta") for one in data if one.get("type") == "response.function_call_arguments.delta"]
    done = [one.get("arguments") for one in data if one.get("type") == "response.function_call_arguments.done"]
    joined = "".join(map(str, deltas))
    if fault:
        return fail(fault)
    right = joined == found.get("arguments") and done[:1] == [joined]
    return verdict(
        right, saw=f"deltas {short(joined, 40)!r}, done {short(repr(done), 50)}, item {found.get('arguments')!r}"
    )


@check(
    "responses.tool_none", "tool_choice none brings no call", FEATURE, requests=1, tokens=16,
    expects="no function_call item", source="spec",
)  # fmt: skip
def tool_none(ctx: Context) -> Finding:
    answer = respond(ctx, "Call pick_color now.", tools=[TOOL], tool_choice="none")
    kinds = [dig(item, "type") for item in as_list(answer.accepted().get("output"))]
    return ignored(f"items {kinds}") if "function_call" in kinds else ok("no call")


@check(
    "responses.tool_output", "A tool's result reaches the model", FEATURE, requests=2, tokens=32,
    expects="input_tokens grow with function_call_output", source="spec",
)  # fmt: skip
def tool_output(ctx: Context) -> Finding:
    call = {"type": "function_call", "call_id": "call_a1", "name": "pick_color", "arguments": '{"color":"red"}'}
    counts = []
    for said in ("ok", LONG):
        result = {"type": "function_call_output", "call_id": "call_a1", "output": said}
        counts.append(input_tokens(respond(ctx, [user("Pick."), call, result], tools=[TOOL])))
    if counts[0] is None or counts[1] is None:
        return inconclusive("there is no usage.input_tokens to judge by")
    return verdict(counts[1] - counts[0] >= 20, saw=f"40 words more add {counts[1] - counts[0]} tokens")


@check(
    "responses.schema", "text.format holds a schema", FEATURE, requests=1, tokens=BUDGET,
    expects="output text that satisfies the schema", source="spec ResponseTextParam",
)  # fmt: skip
def schema(ctx: Context) -> Finding:
    shape = closed({"color": {"type": "string", "enum": ["red", "green"]}, "on": {"type": "boolean"}})
    form = {"type": "json_schema", "name": "lamp", "strict": True, "schema": shape}
    answer = respond(ctx, "A lamp as JSON.", limit=BUDGET, text={"format": form})
    if finding := optional(answer):
        return finding
    said = text_of(answer.data)
    try:
        broken = violation(strict(said.encode("utf-8", "surrogatepass")), shape)
    except ValueError:
        if dig(answer.data, "status") == "incomplete" and said.lstrip().startswith("{"):
            return inconclusive(f"{BUDGET} tokens did not suffice")
        return ignored(f"the text is no JSON: {short(said, 60)!r}")
    return ignored(f"{short(said, 60)}: {broken}") if broken else ok(short(said, 80))


@check(
    "responses.previous", "previous_response_id continues a conversation", FEATURE, requests=2, tokens=32,
    expects="input_tokens that hold the first turn, or a clean refusal", source="spec",
)  # fmt: skip
def previous(ctx: Context) -> Finding:
    first = respond(ctx, LONG, store=True)
    name = first.accepted().get("id")
    second = respond(ctx, "And?", previous_response_id=name)
    if finding := optional(second):
        return finding
    counts = input_tokens(first), input_tokens(second)
    if counts[0] is None or counts[1] is None:
        return inconclusive("there is no usage.input_tokens to judge by")
    if counts[1] <= counts[0]:
        return ignored(f"first turn {counts[0]} tokens, with it as the previous one {counts[1]}")
    return ok(f"{counts[1]} tokens after {counts[0]}")


@check(
    "responses.previous_unknown", "An unknown previous_response_id is refused", COSMETIC, requests=1,
    expects="4xx in the envelope", source="spec",
)  # fmt: skip
def previous_unknown(ctx: Context) -> Finding:
    return must_refuse(respond(ctx, "And?", previous_response_id="resp_no_such"), "an unknown previous_response_id")


@check(
    "responses.retrieve", "A stored answer can be had again", COSMETIC, requests=2, tokens=16,
    expects="the same id and output, or a clean 404", source="spec",
)  # fmt: skip
def retrieve(ctx: Context) -> Finding:
    first = respond(ctx, LONG, store=True)
    first.accepted()
    answer = ctx.get(f"/responses/{quote(str(dig(first.data, 'id')), safe='')}")
    if answer.is_absent:
        return unsupported(f"nothing is stored: {answer.brief()}") if answer.has_envelope else fail(answer.brief())
    answer.accepted()
    same = all(dig(answer.data, name) == dig(first.data, name) for name in ("id", "output", "usage"))
    return verdict(same, saw=f"id {short(repr(dig(answer.data, 'id')), 50)}, text {short(text_of(answer.data), 40)!r}")


@check(
    "responses.retrieve_unknown", "An unknown id is a clean 404", COSMETIC, requests=1,
    expects="404 in the envelope", source="spec",
)  # fmt: skip
def retrieve_unknown(ctx: Context) -> Finding:
    return must_refuse(ctx.get("/responses/resp_no_such"), "an unknown id", statuses=(400, 404, 405, 501))


@check(
    "responses.unstored", "What was not to be stored is not there", FEATURE, requests=1, tokens=16,
    expects="404 for the id of an answer with store false, where stored ones can be had",
    source="spec: store; what people ask not to be kept",
)  # fmt: skip
def unstored(ctx: Context) -> Finding:
    kept, left = (dig(respond(ctx, LONG, store=store).data, "id") for store in (True, False))
    if not isinstance(kept, str) or not isinstance(left, str) or not ctx.get(f"/responses/{kept}").is_ok:
        return inconclusive("stored answers cannot be had (see responses.retrieve)")
    answer = ctx.get(f"/responses/{left}")
    return verdict(not answer.is_ok, saw=answer.brief())


@check(
    "responses.input_items", "The input of a stored answer can be had", COSMETIC, requests=1,
    expects="a list of items, or a clean 404", source="spec",
)  # fmt: skip
def input_items(ctx: Context) -> Finding:
    first = respond(ctx, LONG, store=True)
    first.accepted()
    answer = ctx.get(f"/responses/{quote(str(dig(first.data, 'id')), safe='')}/input_items")
    if finding := optional(answer):
        return finding
    wrong = misfit(answer.data, {"object": frozenset({"list"}), "data": ["object"]})
    count = len(as_list(dig(answer.data, "data")))
    return verdict(not wrong and count == 1, saw=wrong or f"{count} items for one message")


@check(
    "responses.delete", "A stored answer can be deleted", COSMETIC, requests=3, tokens=16, allow="delete",
    expects="deleted: true, and 404 afterwards", source="spec",
)  # fmt: skip
def delete(ctx: Context) -> Finding:
    first = respond(ctx, "To be deleted.", store=True)
    path = f"/responses/{quote(str(first.accepted().get('id')), safe='')}"
    gone = ctx.answer(ctx.request("DELETE", path))
    if finding := optional(gone):
        return finding
    after = ctx.get(path, again=1)
    return verdict(after.status == 404, saw=f"deleted {dig(gone.data, 'deleted')!r}, then {after.brief()}")


@check(
    "responses.codex", "What Codex sends is taken", FEATURE, requests=1, tokens=16,
    expects="200 and a stream", source="Codex CLI: instructions, tools, stream, store false, include",
)  # fmt: skip
def codex(ctx: Context) -> Finding:
    body = body_of(
        ctx, [{"type": "message", **user([{"type": "input_text", "text": "Hi."}])}], instructions="You are an agent.",
        tools=[{**TOOL, "strict": False}], tool_choice="auto", parallel_tool_calls=False, stream=True,
        include=["reasoning.encrypted_content"], prompt_cache_key="probe",
    )  # fmt: skip
    answer = ctx.stream("/responses", body)
    answer.streamed()
    fault = disorder(kinds_of(answer))
    return verdict(not fault, saw=fault or f"{len(answer.chunks)} events")
