"""The Responses API: one answer, its items, and what reaches the model."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, ignored, in_area, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, as_dict, as_list, dig, is_count, short
from llmserve.probe.needs import need, route_missing
from llmserve.probe.refusal import must_refuse
from llmserve.probe.shape import misfit

check = in_area("responses", needs=("responses",))

LIMIT = 16
LONG = "The harbour lamps burn through the night and the boats come home late. " * 3
USAGE = {
    "input_tokens": "count", "input_tokens_details": {"cached_tokens": "count"}, "output_tokens": "count",
    "output_tokens_details": {"reasoning_tokens": "count"}, "total_tokens": "count",
}  # fmt: skip
STATUSES = frozenset({"completed", "failed", "in_progress", "cancelled", "queued", "incomplete"})
ANSWER = {
    "id": "text", "object": frozenset({"response"}), "created_at": "number", "status": STATUSES, "model": "text",
    "output": ["object"], "error": ("null", "object"),
    "incomplete_details": ("null", {"reason?": frozenset({"max_output_tokens", "content_filter"})}),
    "instructions": ("null", "string", "array"), "metadata": ("object", "null"), "parallel_tool_calls": "boolean",
    "temperature": ("number", "null"), "top_p": ("number", "null"), "tool_choice": ("string", "object"),
    "tools": "array", "usage": USAGE,
}  # fmt: skip
PART = {"type": frozenset({"output_text"}), "text": "string", "annotations": "array"}
MESSAGE = {
    "id": "text", "type": frozenset({"message"}), "role": frozenset({"assistant"}),
    "status": frozenset({"in_progress", "completed", "incomplete"}), "content": [PART],
}  # fmt: skip


def respond(ctx: Context, given: Any = "Say hello.", *, limit: int = LIMIT, **fields: Any) -> Answer:
    """One answer, not stored unless ``fields`` say so."""
    return ctx.post("/responses", body_of(ctx, given, limit, **fields))


def body_of(ctx: Context, given: Any, limit: int = LIMIT, **fields: Any) -> dict[str, Any]:
    shared = {"model": ctx.model, "input": given, "max_output_tokens": limit, "store": False}
    return {**shared, **ctx.facts.sampling, **fields}


def user(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


@need("responses", needs=("model",), requests=1)
def responses(ctx: Context) -> Finding | None:
    """There is a Responses API."""
    return route_missing(respond(ctx), "responses")


def input_tokens(answer: Answer) -> int | None:
    answer.accepted(refusal="fail")
    found = answer.usage.get("input_tokens")
    return found if isinstance(found, int) and is_count(found) else None


@check(
    "responses.shape", "The answer has every required field", BREAKS,
    expects="the required fields of Response, each of its type", source="spec Response",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    wrong = misfit(respond(ctx).data, ANSWER)
    return verdict(not wrong, saw=wrong or "all of them")


@check(
    "responses.message", "The text stands in a message item", BREAKS,
    expects="id, role, status, content of output_text with annotations", source="spec OutputMessage",
)  # fmt: skip
def message(ctx: Context) -> Finding:
    items = as_list(dig(respond(ctx).data, "output"))
    found = [item for item in items if dig(item, "type") == "message"]
    if not found:
        kinds = [dig(item, "type") for item in items]
        if kinds and set(map(str, kinds)) <= {"reasoning"}:
            return inconclusive(f"{LIMIT} tokens were all thoughts")
        return verdict(False, saw=f"items {kinds}")
    wrong = misfit(found[0], MESSAGE, "message")
    return verdict(not wrong, saw=wrong or short(repr(found[0]), 100))


@check(
    "responses.status", "The status says whether it was cut", FEATURE, requests=0,
    expects="incomplete with reason max_output_tokens where the limit is reached, else completed", source="spec",
)  # fmt: skip
def status(ctx: Context) -> Finding:
    answer = respond(ctx)
    answer.accepted()
    said, reason = dig(answer.data, "status"), dig(answer.data, "incomplete_details", "reason")
    spent = answer.usage.get("output_tokens")
    wanted = "incomplete" if spent == LIMIT else "completed"
    right = said == wanted and (reason == "max_output_tokens") == (wanted == "incomplete")
    return verdict(right, saw=f"{spent} of {LIMIT} tokens, status {said!r}, reason {reason!r}")


@check(
    "responses.usage", "Usage adds up", FEATURE, expects="total is input + output, output no more than the limit",
    source="spec ResponseUsage",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    counts = [respond(ctx).usage.get(name) for name in ("input_tokens", "output_tokens", "total_tokens")]
    if not all(map(is_count, counts)):
        return verdict(False, saw=f"input, output, total: {counts}")
    right = counts[0] + counts[1] == counts[2] and 0 < counts[1] <= LIMIT and counts[0] > 0  # type: ignore[operator]
    return verdict(right, saw=f"input, output, total: {counts}")


@check(
    "responses.echo", "The answer repeats what was asked", COSMETIC, requests=1,
    expects="model, instructions, max_output_tokens, temperature, metadata as sent", source="spec Response",
)  # fmt: skip
def echo(ctx: Context) -> Finding:
    sent = {"instructions": "Be brief.", "metadata": {"probe": "1"}, "max_output_tokens": LIMIT, **ctx.facts.sampling}
    answer = respond(ctx, instructions=sent["instructions"], metadata=sent["metadata"])
    answer.accepted()
    odd = {name: dig(answer.data, name) for name, value in sent.items() if dig(answer.data, name) != value}
    return verdict(not odd, saw=f"differs: {short(repr(odd), 80)}" if odd else "it does")


@check(
    "responses.input_forms", "Three forms of input are one", FEATURE, requests=2, tokens=2 * LIMIT,
    expects="the same input_tokens for text, messages of text, and messages of parts", source="sglang#17853",
)  # fmt: skip
def input_forms(ctx: Context) -> Finding:
    said = "Say hello."
    part = {"type": "input_text", "text": said}
    forms = [said, [user(said)], [{"type": "message", **user([part])}]]
    counts = [input_tokens(respond(ctx, form)) for form in forms]
    if None in counts:
        return inconclusive("there is no usage.input_tokens to judge by")
    return verdict(len(set(counts)) == 1, saw=f"input_tokens {counts}")


@check(
    "responses.instructions", "instructions reach the model", FEATURE, requests=2, tokens=2 * LIMIT,
    expects="input_tokens grow by their size", source="spec",
)  # fmt: skip
def instructions(ctx: Context) -> Finding:
    return _grows(respond(ctx, instructions="Be brief."), respond(ctx, instructions=LONG))


@check(
    "responses.developer", "A developer message reaches the model", FEATURE, requests=2, tokens=2 * LIMIT,
    expects="input_tokens grow by its size", source="Codex sends them",
)  # fmt: skip
def developer(ctx: Context) -> Finding:
    brief, long = (respond(ctx, [user(said, "developer"), user("Hi.")]) for said in ("Be brief.", LONG))
    return _grows(brief, long)


@check(
    "responses.history", "Earlier turns reach the model", FEATURE, requests=2, tokens=2 * LIMIT,
    expects="input_tokens grow with what the assistant said", source="spec",
)  # fmt: skip
def history(ctx: Context) -> Finding:
    brief, long = (
        respond(ctx, [user("Hi."), user([{"type": "output_text", "text": said}], "assistant"), user("And?")])
        for said in ("Hello.", LONG)
    )
    return _grows(brief, long)


def _grows(brief: Answer, long: Answer) -> Finding:
    counts = input_tokens(brief), input_tokens(long)
    if counts[0] is None or counts[1] is None:
        return inconclusive("there is no usage.input_tokens to judge by")
    if counts[1] <= counts[0]:
        return ignored(f"accepted, but the input stays at {counts[1]} tokens")
    return verdict(counts[1] - counts[0] >= 20, saw=f"40 words more add {counts[1] - counts[0]} tokens")


@check(
    "responses.repeat", "Greedy, the same input brings the same text", FEATURE, requests=1, tokens=LIMIT,
    needs=("responses", "greedy"), expects="the same text", source="needed to compare streamed and whole",
)  # fmt: skip
def repeat(ctx: Context) -> Finding:
    one, other = text_of(respond(ctx).data), text_of(respond(ctx, user="probe").data)
    return ok("it does") if one == other else inconclusive(f"{short(one, 40)!r}, then {short(other, 40)!r}")


def text_of(data: Any) -> str:
    """What the SDKs call output_text: the texts of all message items."""
    items = [as_dict(item) for item in as_list(dig(data, "output"))]
    parts = [as_dict(part) for item in items if item.get("type") == "message" for part in as_list(item.get("content"))]
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


@check(
    "responses.no_input", "Without input it is refused", FEATURE, requests=1,
    expects="400 in the envelope", source="spec",
)  # fmt: skip
def no_input(ctx: Context) -> Finding:
    return must_refuse(
        ctx.post("/responses", {"model": ctx.model, "max_output_tokens": LIMIT}), "a request without input"
    )


@check(
    "responses.bad_type", "A wrong type is refused", FEATURE, requests=1,
    expects="400 in the envelope", source="spec",
)  # fmt: skip
def bad_type(ctx: Context) -> Finding:
    return must_refuse(respond(ctx, temperature="hot"), "temperature hot")


@check(
    "responses.unknown_model", "An unknown model is refused", FEATURE, requests=1,
    expects="404 (or 400) in the envelope", source="sglang#31404",
)  # fmt: skip
def unknown_model(ctx: Context) -> Finding:
    return must_refuse(ctx.post("/responses", {"model": "no-such-model", "input": "Hi."}), "an unknown model")


@check(
    "responses.count", "Input tokens can be counted beforehand", COSMETIC, requests=1,
    expects="object response.input_tokens and the same number as in usage, or a clean 404", source="spec",
)  # fmt: skip
def count(ctx: Context) -> Finding:
    answer = ctx.post("/responses/input_tokens", {"model": ctx.model, "input": "Say hello."})
    told = answer.accepted().get("input_tokens", MISSING)
    used = respond(ctx).usage.get("input_tokens")
    return verdict(told == used, saw=f"counted {told!r}, used {used!r}")
