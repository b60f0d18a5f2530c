"""Event streams as bytes, and what clients put together from them."""

from __future__ import annotations

from typing import Any

from llmserve.probe.check import (
    BREAKS,
    FEATURE,
    Finding,
    fail,
    in_area,
    inconclusive,
    not_applicable,
    ok,
    verdict,
)
from llmserve.probe.checks.chat import FINISHES, NO_ROW
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, as_dict, as_list, dig, is_int, kind, short
from llmserve.probe.stream import Chunk, StreamAnswer

check = in_area("streaming", needs=("stream",))

LONG = 24


def plain(ctx: Context) -> StreamAnswer:
    """The short stream that most checks look at."""
    return ctx.chat_stream()


def counted(ctx: Context) -> StreamAnswer:
    """The same with a usage chunk, ended early if it cannot be had."""
    answer = ctx.chat_stream(usage=True)
    answer.streamed()
    return answer


def every(ctx: Context, wrong: Any) -> Finding:
    """Fails with the first chunk of the plain stream that ``wrong`` has words for."""
    chunks = plain(ctx).chunks
    for number, chunk in enumerate(chunks):
        said = wrong(chunk)
        if said:
            return fail(f"chunk {number} of {len(chunks)}: {said}")
    return ok(f"all {len(chunks)}")


@check(
    "stream.answers", "A streamed chat request brings a stream", BREAKS, needs=("chat",), quick=True, requests=1,
    tokens=8, rows=("s60_json_not_stream", "s21b_ndjson", "s59_html", "s36b_message_not_delta"),
    expects="200 and events with JSON chunks that have choices", source="spec CreateChatCompletionStreamResponse",
)  # fmt: skip
def answers(ctx: Context) -> Finding:
    answer = plain(ctx)
    if answer.exchange.error:
        return fail(answer.brief(), rows=(NO_ROW,))
    if answer.is_ok and not answer.chunks:
        if as_dict(answer.data).get("choices"):
            return fail("one JSON body, as if no stream had been asked for", rows=("s60_json_not_stream",))
        if answer.exchange.body.lstrip().startswith(b"{"):
            return fail("lines of JSON that are no events", rows=("s21b_ndjson",))
        return fail(f"200 without an event: {short(answer.said, 60)}", rows=("s59_html",))
    chunks = answer.streamed(refusal="fail")
    holds = answer.status == 200 and any(chunk.choices for chunk in chunks)
    return verdict(holds, saw=f"{answer.status} with {len(chunks)} chunks")


@check(
    "stream.type", "A stream says that it is one", FEATURE, quick=True,
    rows=("s22_ct_json", "s24_ct_plain", "s24b_ct_none"),
    expects="Content-Type text/event-stream", source="SSE; proxies buffer other types",
)  # fmt: skip
def content_type(ctx: Context) -> Finding:
    answer = plain(ctx)
    holds = answer.exchange.media_type == "text/event-stream"
    return verdict(holds, saw=answer.header("content-type") or "no Content-Type")


@check(
    "stream.events.json", "Every event holds JSON", BREAKS, quick=True, rows=("s13_event_ping",),
    expects="the data of each event is one JSON object, or [DONE]", source="spec; measured s14, s15",
)  # fmt: skip
def events_json(ctx: Context) -> Finding:
    answer = plain(ctx)
    if answer.unreadable:
        return fail(f"no JSON: {short(answer.unreadable[0].data, 80)}")
    foreign = next((chunk for chunk in answer.chunks if not isinstance(chunk.data, dict)), None)
    return verdict(
        foreign is None, saw=f"{short(foreign.data)} is no object" if foreign else f"{len(answer.chunks)} are"
    )


@check(
    "stream.events.named", "No event has a name of its own", BREAKS, quick=True,
    rows=("s13_event_ping", "s18_event_error_flat"),
    expects="no event: lines on chat", source="spec; measured s13: an event: ping breaks four of eight clients",
)  # fmt: skip
def events_named(ctx: Context) -> Finding:
    names = sorted({event.name for event in plain(ctx).events if event.name and event.name != "message"})
    return verdict(not names, saw=f"event: {short(', '.join(names), 60)}" if names else "none has")


@check(
    "stream.done", "A stream ends with [DONE]", FEATURE, quick=True, rows=("s08_no_done",),
    expects="one data: [DONE], as the last event", source="spec; SDKs stop reading there",
)  # fmt: skip
def done(ctx: Context) -> Finding:
    answer = plain(ctx)
    last = answer.events[-1].data if answer.events else None
    holds = answer.done == 1 and (last or "").strip() == "[DONE]"
    return verdict(holds, saw=f"{answer.done} times, the last event is {short(last, 40)}")


@check(
    "stream.done.usage", "A stream with usage ends with [DONE]", FEATURE, requests=1, tokens=8,
    expects="one data: [DONE], after the usage", source="spec",
)  # fmt: skip
def done_usage(ctx: Context) -> Finding:
    answer = counted(ctx)
    return verdict(answer.done == 1 and (answer.events[-1].data or "").strip() == "[DONE]", saw=f"{answer.done} times")


@check(
    "stream.closes", "A stream ends soon after [DONE]", FEATURE,
    expects="the answer is over within 2 s of [DONE]", source="openai-python waits 0.1 s, then drops the connection",
)  # fmt: skip
def closes(ctx: Context) -> Finding:
    answer = plain(ctx)
    if not answer.done:
        return inconclusive("there is no [DONE] (see stream.done)")
    open_ = any("stays open" in fault for fault in answer.exchange.faults)
    return verdict(not open_, saw="it stays open" if open_ else f"over after {answer.exchange.took_s:.2f} s")


@check(
    "stream.whole", "No stream of the run ends without a finish_reason", BREAKS, last=True, quick=True,
    rows=("s08b_no_done_no_finish", "s31_no_finish"),
    expects="every chat stream has a finish_reason for every choice",
    source="measured s08b: five of eight clients notice nothing",
)  # fmt: skip
def whole(ctx: Context) -> Finding:
    seen = 0
    for made in ctx.session.seen:
        chat = made.request.target.endswith("/chat/completions") and made.media_type == "text/event-stream"
        if not chat or made.status != 200 or made.left or made.error in ("timeout", "idle"):
            continue
        answer = StreamAnswer(made)
        seen += 1
        if not answer.error_chunk and any(chunk.choices for chunk in answer.chunks) and not answer.finishes():
            ctx.note(made)
            return fail(f"{made.error or 'it ends'} after {len(answer.chunks)} chunks, without a finish_reason")
    return ok(f"{seen} streams")


@check(
    "stream.role.first", "The first piece says whose message it is", BREAKS, quick=True, rows=("s02_no_role",),
    expects='the first delta has role "assistant"', source="spec; measured s02: openai-node's stream() raises",
)  # fmt: skip
def role_first(ctx: Context) -> Finding:
    pieces = plain(ctx).of_choice()
    found = dig(pieces[0], "delta", "role") if pieces else MISSING
    later = any(as_dict(piece.get("delta")).get("role") for piece in pieces[1:])
    return verdict(found == "assistant", saw=f"role is {short(repr(found), 40)}{', and comes later' * later}")


@check(
    "stream.role.once", "The role comes once", BREAKS, quick=True, rows=("s01_role_every",),
    expects="role is absent or null after the first delta",
    source='measured s01: openai-python makes "assistantassistant" of it; litellm#9986, ollama#7626',
)  # fmt: skip
def role_once(ctx: Context) -> Finding:
    roles = [as_dict(piece.get("delta")).get("role") for piece in plain(ctx).of_choice()]
    return verdict(sum(map(bool, roles)) <= 1, saw=f"{sum(map(bool, roles))} of {len(roles)} deltas have a role")


@check(
    "stream.content.type", "Content comes as text", BREAKS,
    expects="delta.content is a string, null or absent", source="spec; vercel/ai#17779",
)  # fmt: skip
def content_kind(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        found = next((delta["content"] for delta in chunk.deltas if delta.get("content") is not None), "")
        return "" if isinstance(found, str) else f"content is {kind(found)}"

    return every(ctx, wrong)


@check(
    "stream.finish.once", "A choice ends once", BREAKS, quick=True,
    rows=("s31_no_finish", "s32_finish_empty", "s32b_finish_null_str"),
    expects="finish_reason is null until the last piece, which has one",
    source='measured s31, s32b: LangChain makes "nullnullstop" of it',
)  # fmt: skip
def finish_once(ctx: Context) -> Finding:
    answer = plain(ctx)
    found = answer.finishes()
    if not found:
        return fail("no finish_reason", rows=("s31_no_finish",))
    row = "s32_finish_empty" if "" in found[:-1] else "s32b_finish_null_str"
    return verdict(len(found) == 1, saw=f"finish_reasons {short(found, 80)}", rows=(row,))


@check(
    "stream.finish.reason", "A choice ends for a known reason", BREAKS, quick=True,
    rows=("s33_finish_eos", "s18c_error_finish"),
    expects=f"the last finish_reason is one of {', '.join(FINISHES)}", source="spec; measured s33, s18c",
)  # fmt: skip
def finish_known(ctx: Context) -> Finding:
    found = plain(ctx).finishes()
    if not found:
        return inconclusive("there is none (see stream.finish.once)")
    row = "s18c_error_finish" if found[-1] == "error" else "s33_finish_eos"
    return verdict(found[-1] in FINISHES, saw=f"finish_reason {short(repr(found[-1]), 40)}", rows=(row,))


@check(
    "stream.finish.last", "Nothing is said after the end", FEATURE,
    expects="no content after the finish_reason", source="clients stop listening there",
)  # fmt: skip
def finish_last(ctx: Context) -> Finding:
    pieces = plain(ctx).of_choice()
    ends = [i for i, piece in enumerate(pieces) if piece.get("finish_reason") in FINISHES]
    if not ends:
        return inconclusive("there is no end (see stream.finish.once)")
    after = "".join(str(as_dict(piece.get("delta")).get("content") or "") for piece in pieces[ends[0] + 1 :])
    return verdict(not after, saw=f"{short(after, 40)!r} comes after" if after else "nothing comes after")


@check(
    "stream.lists", "No list of objects in a delta lacks an index", BREAKS, rows=("s55_ext_list",),
    expects="every object in a list of a delta has an index",
    source="measured s55: reasoning_details breaks openai-python",
)  # fmt: skip
def lists(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        for delta in chunk.deltas:
            for name, value in delta.items():
                if any(isinstance(one, dict) and not is_int(one.get("index")) for one in as_list(value)):
                    return f"{name} has an object without index"
        return ""

    return every(ctx, wrong)


@check(
    "stream.tool_calls.none", "No tool call comes where there are no tools", BREAKS,
    expects="no tool_calls and no function_call in any delta", source="spec",
)  # fmt: skip
def no_tools(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        delta = next((one for one in chunk.deltas if one.get("tool_calls") or one.get("function_call")), None)
        return short(delta) if delta else ""

    return every(ctx, wrong)


@check(
    "stream.error", "An error within a stream is one for the SDKs", BREAKS, last=True,
    rows=("s18_event_error_flat", "s18b_error_flat_object", "s18c_error_finish"),
    expects='data: {"error": {"message": …}}', source="measured s15, s18: others pass for a normal end; goose#8021",
)  # fmt: skip
def error_event(ctx: Context) -> Finding:
    seen = 0
    for made in ctx.session.seen:
        chat = made.request.target.endswith("completions") and made.media_type == "text/event-stream"
        for chunk in StreamAnswer(made).chunks if chat else ():
            flat = dig(chunk.data, "object") == "error" or (
                isinstance(dig(chunk.data, "message"), str) and not dig(chunk.data, "choices")
            )
            broken = any(dig(choice, "finish_reason") == "error" for choice in chunk.choices)
            nested = dig(chunk.data, "error")
            seen += bool(nested) or flat or broken
            if (flat or broken) and not nested:
                ctx.note(made)
                return fail(short(chunk.event.data))
    return ok(f"{seen} errors, all well formed") if seen else not_applicable("no stream met an error")
