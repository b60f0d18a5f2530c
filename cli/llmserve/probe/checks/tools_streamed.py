"""Streamed calls: every client puts the pieces together by index, and each in its own way."""

from __future__ import annotations

from itertools import pairwise

from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Ended, Finding, fail, in_area, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, as_dict, as_list, is_int, short
from llmserve.probe.shape import misfit
from llmserve.probe.stream import StreamAnswer
from llmserve.probe.tool_requests import (
    BUDGET,
    COLOR,
    PLACE,
    call_of,
    consequence,
    forced,
    forced_stream,
    function,
    no_call,
    parsed,
    put_together,
)

check = in_area("tools-streamed", needs=("calls", "stream"))

DELTA = {"index": "count", "id?": ("text", "null"), "type?": frozenset({"function"}), "function": {
    "name?": ("string", "null"), "arguments?": ("string", "null")}}  # fmt: skip


def _calls(ctx: Context) -> StreamAnswer:
    """A stream with a call in it, or the end of the check."""
    answer = forced_stream(ctx)
    answer.streamed()
    if answer.tool_deltas:
        return answer
    if any(as_dict(piece.get("delta")).get("function_call") for piece in answer.of_choice()):
        raise Ended(fail("the call came as function_call, which is no longer read", rows=("t54b_legacy",)))
    raise Ended(consequence(no_call(answer)))


@check(
    "tools_stream.call", "A demanded call arrives in pieces", FEATURE, quick=True, requests=1, tokens=BUDGET,
    expects="deltas that join to arguments which satisfy the schema", source="spec ChatCompletionMessageToolCallChunk",
)  # fmt: skip
def call(ctx: Context) -> Finding:
    whole = forced(ctx)
    answer = forced_stream(ctx)
    answer.streamed()
    if not answer.tool_deltas and whole.tool_calls:
        return no_call(answer)
    answer = _calls(ctx)
    joined = put_together(answer)
    return parsed(answer, joined[0], COLOR) or ok(f"{len(answer.tool_deltas)} deltas make {short(repr(joined), 100)}")


@check(
    "tools_stream.index", "Every delta has its index, from 0 on", BREAKS,
    expects="index is a whole number; the first call's is 0", rows=("t41_no_index", "t42_index_null", "t48_index_1"),
    source="measured t41, t42, t48; openai-python#2806, ollama#7881, sglang#5661",
)  # fmt: skip
def index(ctx: Context) -> Finding:
    found = [delta.get("index", MISSING) for delta in _calls(ctx).tool_deltas]
    right = all(map(is_int, found)) and found[0] == 0 and all(b - a in (0, 1) for a, b in pairwise(found))
    return verdict(right, saw=f"indexes {short(repr(found), 100)}")


@check(
    "tools_stream.id_once", "The id stands in the first delta alone", BREAKS, rows=("t43_id_every", "t51b_no_id"),
    expects="one id, in the call's first delta", source="measured t43, t51b: repeats are joined to nonsense",
)  # fmt: skip
def id_once(ctx: Context) -> Finding:
    found = [delta.get("id") for delta in _calls(ctx).tool_deltas if delta.get("index", 0) == 0]
    right = isinstance(found[0], str) and bool(found[0]) and not any(found[1:]) if found else False
    return verdict(right, saw=f"ids {short(repr(found), 100)}")


@check(
    "tools_stream.name_once", "The name stands whole in one delta", BREAKS, rows=("t44_name_every",),
    expects="function.name once", source="measured t44: three clients get the name twice over",
)  # fmt: skip
def name_once(ctx: Context) -> Finding:
    deltas = _calls(ctx).tool_deltas
    names = [as_dict(delta.get("function")).get("name") for delta in deltas if delta.get("index", 0) == 0]
    told = [name for name in names if name]
    return verdict(told == ["pick_color"], saw=f"names {short(repr(told), 100)}")


@check(
    "tools_stream.name_first", "The name comes with the first delta", BREAKS, rows=("t51c_args_before_name",),
    expects="function.name in the call's first delta", source="vercel/ai#15879",
)  # fmt: skip
def name_first(ctx: Context) -> Finding:
    first = as_dict(_calls(ctx).tool_deltas[0].get("function"))
    return verdict(bool(first.get("name")), saw=f"the first delta's function is {short(repr(first), 80)}")


@check(
    "tools_stream.type", "The type stands in the first delta and is never null", BREAKS,
    rows=("t45b_null_id_name", "t46_no_type"), expects="type 'function' first, then absent or the same",
    source="measured t45b (openai-python raises), t46 (openai-node raises)",
)  # fmt: skip
def type_once(ctx: Context) -> Finding:
    found = [delta.get("type", MISSING) for delta in _calls(ctx).tool_deltas if delta.get("index", 0) == 0]
    right = found[:1] == ["function"] and all(one is MISSING or one == "function" for one in found[1:])
    return verdict(right, saw=f"types {short(repr(found), 100)}")


@check(
    "tools_stream.nulls", "Later deltas leave out what they do not say", BREAKS, rows=("t45b_null_id_name",),
    expects="id, type and name absent or the same, not null", source="measured t45b: openai-python's stream() asserts",
)  # fmt: skip
def nulls(ctx: Context) -> Finding:
    for delta in _calls(ctx).tool_deltas[1:]:
        inner = as_dict(delta.get("function"))
        null = [
            key for key, value in (*delta.items(), *inner.items()) if value is None and key in ("id", "type", "name")
        ]
        if null:
            return fail(f"a later delta has null {', '.join(null)}: {short(repr(delta), 80)}")
    return ok("no nulls")


@check(
    "tools_stream.function", "function is always an object", BREAKS, rows=("t54_function_null",),
    expects="every delta has function, and it is an object", source="measured t54",
)  # fmt: skip
def function_object(ctx: Context) -> Finding:
    odd = [delta for delta in _calls(ctx).tool_deltas if not isinstance(delta.get("function"), dict)]
    return verdict(not odd, saw=f"without: {short(repr(odd[:1]), 80)}" if odd else "always")


@check(
    "tools_stream.shape", "Every delta has the right types", BREAKS, rows=("t47_args_object",),
    expects="index, id, type, name and arguments of the spec's types", source="spec; measured t47",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    wrong = next(filter(None, (misfit(delta, DELTA, "tool_call") for delta in _calls(ctx).tool_deltas)), "")
    return verdict(not wrong, saw=wrong or "all of them")


@check(
    "tools_stream.same", "Streamed and whole, the call is the same", FEATURE, needs=("calls", "stream", "greedy"),
    expects="the same name and arguments", source="consistency", requests=1, tokens=BUDGET,
)  # fmt: skip
def same(ctx: Context) -> Finding:
    whole, joined = call_of(forced(ctx)).get("function"), put_together(_calls(ctx))[0]["function"]
    return verdict(whole == joined, saw=f"whole {short(repr(whole), 70)}, streamed {short(repr(joined), 70)}")


@check(
    "tools_stream.incremental", "Arguments arrive bit by bit", COSMETIC,
    expects="more than one delta with arguments", source="what streaming is for",
)  # fmt: skip
def incremental(ctx: Context) -> Finding:
    deltas = _calls(ctx).tool_deltas
    count = sum(bool(as_dict(delta.get("function")).get("arguments")) for delta in deltas)
    return verdict(count > 1, saw=f"{count} deltas with arguments")


@check(
    "tools_stream.finish", "The stream ends once, with tool_calls", BREAKS, rows=("t53_finish_stop",),
    expects="exactly one finish_reason: 'tool_calls'", source="measured t53; vllm#9209",
)  # fmt: skip
def finish(ctx: Context) -> Finding:
    found = _calls(ctx).finishes()
    if found == ["length"]:
        return inconclusive(f"{BUDGET} tokens did not suffice")
    return verdict(found == ["tool_calls"], saw=f"finish reasons {found}")


@check(
    "tools_stream.text", "No text beside the call", FEATURE, expects="no content that is not empty",
    source="leaked markup of templates",
)  # fmt: skip
def text(ctx: Context) -> Finding:
    found = _calls(ctx).joined()
    return verdict(not found.strip(), saw=f"content {short(found, 60)!r}")


@check(
    "tools_stream.role", "The role comes before the call, or with it", BREAKS, rows=("s02_no_role",),
    expects="role 'assistant' no later than the first tool delta", source="OmniRoute#3911: the calls are dropped",
)  # fmt: skip
def role(ctx: Context) -> Finding:
    for piece in _calls(ctx).of_choice():
        delta = as_dict(piece.get("delta"))
        if delta.get("role") == "assistant":
            return ok("it does")
        if as_list(delta.get("tool_calls")):
            return fail("a tool delta came before any role")
    return fail("no delta has a role")


@check(
    "tools_stream.parallel", "Several calls have indexes and ids of their own", BREAKS, requests=1, tokens=2 * BUDGET,
    rows=("t49_parallel_same_index", "t49d_same_id"), expects="one index and one id for each call, 0, 1 and so on",
    source="measured t49, t49d; ollama#15457, litellm#21331, dynamo#4723",
)  # fmt: skip
def parallel(ctx: Context) -> Finding:
    both = [function(), function("pick_place", PLACE)]
    answer = ctx.chat_stream(
        "Call pick_color and call pick_place.", tools=both, tool_choice="required", tokens=2 * BUDGET
    )
    answer.streamed()
    starts = [delta for delta in answer.tool_deltas if as_dict(delta.get("function")).get("name")]
    if len(starts) < 2:
        return inconclusive(f"the model made {len(starts)} call")
    indexes, ids = [one.get("index") for one in starts], [one.get("id") for one in starts]
    right = indexes == list(range(len(starts))) and len(set(map(repr, ids))) == len(ids)
    return verdict(right, saw=f"indexes {indexes}, ids {short(repr(ids), 80)}")


@check(
    "tools_stream.usage", "Streamed calls are counted as whole ones are", FEATURE, requests=1, tokens=BUDGET,
    needs=("calls", "stream", "greedy", "usage"), expects="the same numbers", source="consistency",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    whole = forced(ctx)
    call_of(whole)
    streamed = forced_stream(ctx, stream_options={"include_usage": True})
    streamed.streamed()
    if not streamed.usages:
        return inconclusive("the stream has no usage (see the area streaming)")
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    one, other = ([answer.usage.get(name) for name in names] for answer in (whole, streamed))
    return verdict(one == other, saw=f"whole {one}, streamed {other}")
