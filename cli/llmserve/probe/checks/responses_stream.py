"""The stream of the Responses API: SDKs build the answer from its events and raise when one is out of place."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, fail, in_area, inconclusive, ok, verdict
from llmserve.probe.checks.responses import ANSWER, body_of, respond, text_of
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count, is_int, short
from llmserve.probe.shape import misfit
from llmserve.probe.stream import StreamAnswer

check = in_area("responses", needs=("responses",))

ENDS = ("response.completed", "response.incomplete", "response.failed")
KNOWN = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.refusal.delta",
        "response.refusal.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
    }
)
_PLACE = {"item_id": "text", "output_index": "count"}
_INNER = {**_PLACE, "content_index": "count"}
EVENTS: dict[str, dict[str, Any]] = {
    "response.created": {"response": {"id": "text", "object": frozenset({"response"}), "output": "array"}},
    "response.in_progress": {"response": {"id": "text", "output": "array"}},
    "response.output_item.added": {"output_index": "count", "item": {"id": "text", "type": "text"}},
    "response.output_item.done": {"output_index": "count", "item": {"id": "text", "type": "text"}},
    "response.content_part.added": {**_INNER, "part": {"type": "text"}},
    "response.content_part.done": {**_INNER, "part": {"type": "text"}},
    "response.output_text.delta": {**_INNER, "delta": "string"},
    "response.output_text.done": {**_INNER, "text": "string"},
    "response.function_call_arguments.delta": {**_PLACE, "delta": "string"},
    "response.function_call_arguments.done": {**_PLACE, "arguments": "string"},
    "response.completed": {"response": "object"},
    "response.incomplete": {"response": "object"},
}
"""The fields that accumulators read, by event."""


def streamed(ctx: Context) -> StreamAnswer:
    """The plain stream, or the end of the check."""
    answer = ctx.stream("/responses", body_of(ctx, "Say hello.", stream=True))
    answer.streamed()
    return answer


def kinds_of(answer: StreamAnswer) -> list[str]:
    return [str(dig(chunk.data, "type")) for chunk in answer.chunks]


def disorder(kinds: list[str]) -> str:
    """The first event that stands where no accumulator expects it, or nothing."""
    opened: dict[str, bool] = {"item": False, "part": False}
    if kinds[:1] != ["response.created"]:
        return f"it begins with {kinds[:1]}, not response.created"
    for kind in kinds:
        name = kind.removeprefix("response.")
        if name in ("output_item.added", "output_item.done"):
            opened["item"], fault = _toggle(opened["item"], name)
        elif name in ("content_part.added", "content_part.done"):
            opened["part"], fault = _toggle(opened["part"], name)
            fault = fault or ("" if opened["item"] else f"{name} before output_item.added")
        elif name.startswith(("output_text", "refusal")):
            fault = "" if opened["part"] else f"{name} before content_part.added"
        elif name.startswith("function_call_arguments"):
            fault = "" if opened["item"] else f"{name} before output_item.added"
        else:
            fault = ""
        if fault:
            return fault
    if kinds[-1] not in ENDS:
        return f"it ends with {kinds[-1]}, not with response.completed or response.incomplete"
    return next((f"{what} was never done" for what, still in opened.items() if still), "")


def _toggle(is_open: bool, name: str) -> tuple[bool, str]:
    opens = name.endswith("added")
    return opens, f"{name} twice, or out of turn" if is_open == opens else ""


@check(
    "responses.stream_order", "Events come in the order that accumulators need", BREAKS, requests=1, tokens=16,
    expects="created, then item, part, deltas, each closed, then completed or incomplete",
    source="measured r04, r05, r06, r09; ollama#17118", rows=("r04", "r05", "r06", "r09", "r10"),
)  # fmt: skip
def order(ctx: Context) -> Finding:
    kinds = kinds_of(streamed(ctx))
    fault = disorder(kinds)
    return verdict(not fault, saw=fault or f"{len(kinds)} events in order")


@check(
    "responses.stream_whole", "No event is left out", FEATURE, requests=0,
    expects="in_progress, output_text.done, content_part.done and output_item.done are there", source="spec; Codex",
)  # fmt: skip
def whole(ctx: Context) -> Finding:
    kinds = kinds_of(streamed(ctx))
    wanted = ["response.in_progress", "response.output_item.done"]
    if "response.output_text.delta" in kinds:
        wanted += ["response.output_text.done", "response.content_part.done"]
    missing = [kind for kind in wanted if kind not in kinds]
    return verdict(not missing, saw=f"missing: {', '.join(missing)}" if missing else "all are there")


@check(
    "responses.stream_shape", "Every event has the fields that clients read", BREAKS, rows=("r13", "r14", "r15"),
    expects="item_id, output_index, content_index, delta, each of its type", source="measured r14, r15; spec",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    for chunk in streamed(ctx).chunks:
        kind = str(dig(chunk.data, "type"))
        if wrong := misfit(chunk.data, EVENTS.get(kind, {"type": "text"}), kind):
            return fail(wrong)
    return ok("all of them")


@check(
    "responses.stream_ids", "Ids stay the same throughout", BREAKS, rows=("r11", "r12"),
    expects="one response id, one id for each item", source="measured r11, r12: openai-python raises",
)  # fmt: skip
def ids(ctx: Context) -> Finding:
    data = [as_dict(chunk.data) for chunk in streamed(ctx).chunks]
    answers = {repr(one["response"].get("id")) for one in data if isinstance(one.get("response"), dict)}
    items: dict[Any, set[str]] = {}
    for one in data:
        found = one.get("item_id") or as_dict(one.get("item")).get("id")
        if "output_index" in one and found is not None:
            items.setdefault(repr(one["output_index"]), set()).add(repr(found))
    right = len(answers) == 1 and all(len(names) == 1 for names in items.values())
    return verdict(right, saw=f"response ids {short(repr(answers), 60)}, item ids {short(repr(items), 60)}")


@check(
    "responses.stream_numbers", "Events are numbered without gaps", COSMETIC, rows=("r02",),
    expects="sequence_number 0, 1, 2 …", source="spec: required on every event",
)  # fmt: skip
def numbers(ctx: Context) -> Finding:
    found: list[Any] = [as_dict(chunk.data).get("sequence_number") for chunk in streamed(ctx).chunks]
    right = all(map(is_int, found)) and found[0] in (0, 1) and all(b - a == 1 for a, b in pairwise(found))
    return verdict(right, saw=f"numbers {short(repr(found), 80)}")


@check(
    "responses.stream_names", "Each event's name is its type, and known", FEATURE, rows=("r01", "r19"),
    expects="event: equals type, and types of the spec alone", source="measured r19: openai-node throws",
)  # fmt: skip
def names(ctx: Context) -> Finding:
    for chunk in streamed(ctx).chunks:
        kind = dig(chunk.data, "type")
        if chunk.event.name != kind:
            return fail(f"event: {chunk.event.name or 'absent'}, type {short(repr(kind), 50)}")
        if kind not in KNOWN and kind != "error":
            return fail(f"the type {short(repr(kind), 50)} is in no SDK")
    return ok("all of them")


@check(
    "responses.stream_final", "The last event carries the whole answer", BREAKS, rows=("r17", "r18"),
    expects="output and usage, the text equal to the joined deltas", source="measured r17; vllm#30223, Rapid-MLX#851",
)  # fmt: skip
def final(ctx: Context) -> Finding:
    answer = streamed(ctx)
    last = dig(answer.chunks[-1].data, "response")
    if wrong := misfit(last, ANSWER, "response"):
        return fail(wrong)
    joined = _joined(answer)
    return verdict(text_of(last) == joined, saw=f"{short(text_of(last), 40)!r}, deltas {short(joined, 40)!r}")


def _joined(answer: StreamAnswer) -> str:
    data = [as_dict(chunk.data) for chunk in answer.chunks]
    deltas = (one.get("delta") for one in data if one.get("type") == "response.output_text.delta")
    return "".join(delta for delta in deltas if isinstance(delta, str))


@check(
    "responses.stream_done", "Deltas, done events and items agree", FEATURE,
    expects="output_text.done and output_item.done hold the joined deltas", source="consistency",
)  # fmt: skip
def done(ctx: Context) -> Finding:
    answer = streamed(ctx)
    joined = _joined(answer)
    for one in (as_dict(chunk.data) for chunk in answer.chunks):
        said = {
            "response.output_text.done": one.get("text"), "response.content_part.done": dig(one, "part", "text"),
            "response.output_item.done": text_of({"output": [one.get("item")]}),
        }.get(str(one.get("type")), joined)  # fmt: skip
        if said != joined and not _of_another_kind(one):
            return fail(f"{one.get('type')} says {short(repr(said), 50)}, the deltas {short(joined, 50)!r}")
    return ok("they do")


def _of_another_kind(data: dict[str, Any]) -> bool:
    """Thoughts and calls have done events too."""
    thought = dig(data, "part", "type") == "reasoning_text"
    return thought or dig(data, "item", "type") in ("reasoning", "function_call")


@check(
    "responses.stream_same", "Streamed and whole, the text is the same", FEATURE, needs=("responses", "greedy"),
    expects="the same text and usage", source="consistency",
)  # fmt: skip
def same(ctx: Context) -> Finding:
    last, plain = as_dict(dig(streamed(ctx).chunks[-1].data, "response")), respond(ctx)
    one, other = text_of(last), text_of(plain.data)
    counts = [dig(found, "usage", "total_tokens") for found in (last, plain.data)]
    return verdict(
        one == other and counts[0] == counts[1], saw=f"{short(one, 30)!r}, {short(other, 30)!r}; tokens {counts}"
    )


@check(
    "responses.stream_incremental", "The text arrives bit by bit", FEATURE,
    expects="more than one delta", source="what streaming is for",
)  # fmt: skip
def incremental(ctx: Context) -> Finding:
    kinds = kinds_of(streamed(ctx))
    count = kinds.count("response.output_text.delta")
    if not count and any(kind.startswith("response.reasoning") for kind in kinds):
        return inconclusive("the tokens were all thoughts")
    return verdict(count > 1, saw=f"{count} deltas")


@check(
    "responses.stream_refused", "A bad request is refused before the stream", BREAKS, requests=1,
    expects="a 4xx with a JSON body, not 200 and events", source="ogx#5224; measured r20, r22", rows=("r20", "r22"),
)  # fmt: skip
def refused(ctx: Context) -> Finding:
    answer = ctx.stream("/responses", body_of(ctx, "Hi.", stream=True, temperature="hot"))
    right = answer.is_refused and answer.has_envelope
    return verdict(
        right, saw=f"{answer.brief()}, {len(as_list(list(answer.chunks)))} events" if not right else answer.brief()
    )


@check(
    "responses.stream_type", "The stream says that it is one", FEATURE, expects="Content-Type text/event-stream",
    source="spec",
)  # fmt: skip
def content_type(ctx: Context) -> Finding:
    found = streamed(ctx).exchange.media_type
    return verdict(found == "text/event-stream", saw=f"Content-Type {found or 'absent'}")


@check(
    "responses.stream_frames", "Every event is framed as clients read it", BREAKS,
    expects="data that is JSON, a blank line after each, UTF-8", source="measured s09b, s12, s14",
    rows=("s09b_last_no_blank",),
)  # fmt: skip
def frames(ctx: Context) -> Finding:
    answer = streamed(ctx)
    faults = [f"{fault.kind}: {fault.detail}" for fault in answer.faults]
    faults += [f"an event that is no JSON: {short(event.data or '', 40)!r}" for event in answer.unreadable]
    return verdict(not faults, saw=short(faults[0], 100) if faults else f"{len(answer.events)} events")


@check(
    "responses.stream_indexes", "Output indexes count the items", BREAKS, expects="0, 1 … as items are added",
    source="accumulators place items by output_index",
)  # fmt: skip
def indexes(ctx: Context) -> Finding:
    data = [as_dict(chunk.data) for chunk in streamed(ctx).chunks]
    found = [one.get("output_index") for one in data if one.get("type") == "response.output_item.added"]
    parts = [one.get("content_index") for one in data if one.get("type") == "response.content_part.added"]
    right = found == list(range(len(found))) and all(map(is_count, parts)) and parts[:1] in ([], [0])
    return verdict(right, saw=f"items {found}, parts {parts}")
