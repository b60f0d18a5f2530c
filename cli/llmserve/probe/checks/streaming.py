"""Event streams, byte by byte, and what clients put together from them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Ended,
    Finding,
    fail,
    in_area,
    inconclusive,
    not_applicable,
    ok,
    verdict,
)  # fmt: skip
from llmserve.probe.checks.chat import FINISHES, NO_ROW
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, as_dict, as_list, dig, is_count, is_int, kind, short
from llmserve.probe.judging import clean
from llmserve.probe.stream import Chunk, StreamAnswer

check = in_area("streaming", needs=("stream",))

LONG = 24
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def plain(ctx: Context) -> StreamAnswer:
    """The short stream that most checks look at."""
    return ctx.chat_stream()


def counted(ctx: Context) -> StreamAnswer:
    """The same with a usage chunk, ended early if it cannot be had."""
    answer = ctx.chat_stream(usage=True)
    answer.streamed()
    return answer


# --- the stream as bytes


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
    return verdict(any(chunk.choices for chunk in chunks), saw=f"{len(chunks)} chunks")


@check(
    "stream.type", "A stream says that it is one", FEATURE, quick=True,
    rows=("s22_ct_json", "s24_ct_plain", "s24b_ct_none"),
    expects="Content-Type text/event-stream", source="SSE; proxies buffer other types",
)  # fmt: skip
def content_type(ctx: Context) -> Finding:
    answer = plain(ctx)
    holds = answer.exchange.media_type == "text/event-stream"
    return verdict(holds, saw=answer.header("content-type") or "no Content-Type")


def _no_fault(
    name: str, title: str, kinds: tuple[str, ...], rows: tuple[str, ...], why: str, *, severity: Any = BREAKS
) -> Any:
    """A check that no stream of the run has framing faults of some kinds."""

    @check(f"stream.{name}", title, severity, last=True, rows=rows, expects=f"{title}: none", source=why, quick=True)
    def without(ctx: Context) -> Finding:
        for made in ctx.session.exchanges:
            if made.media_type == "text/event-stream" and made.status == 200:
                found = next((fault for fault in StreamAnswer(made).faults if fault.kind in kinds), None)
                if found and not (found.kind == "unterminated" and (made.error or made.left)):
                    ctx.note(made)
                    return fail(f"at byte {found.offset}: {found.detail}")
        return ok("none in any stream")

    return without


empty_events = _no_fault(
    "events.empty", "Events without data", ("no_data", "empty_data"),
    ("s12_retry", "s13b_event_ping_nodata", "s14_empty_data"),
    "measured s12, s13b, s14: most clients raise; openai-python#2721, openai-go#556",
)  # fmt: skip
comments = _no_fault(
    "events.comment", "Comments that follow an id", ("comment_after_id",), ("s11_comment_after_id",),
    "measured s11; llmgateway#2334: openai-python reads them as events",
)  # fmt: skip
unterminated = _no_fault(
    "events.unterminated", "Events without a blank line at the end", ("unterminated",), ("s09b_last_no_blank",),
    "measured s09b: all clients lose the last event",
)  # fmt: skip
not_events = _no_fault(
    "events.framing", "Lines that are no field of an event", ("not_sse",), ("s21b_ndjson",),
    "SSE; measured s21b: lines of JSON are an empty answer",
)  # fmt: skip
unknown_fields = _no_fault(
    "events.field", "Fields that no client knows", ("unknown_field",), ("s15_error_field",),
    "measured s15; llama.cpp#16104: an error field passes for a normal end",
)  # fmt: skip
marks = _no_fault(
    "events.bom", "A byte order mark at the beginning", ("bom",), ("s21c_bom",), "measured s21c: the role is lost",
)  # fmt: skip


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
    for made in ctx.session.exchanges:
        chat = made.request.target.endswith("/chat/completions") and made.media_type == "text/event-stream"
        if not chat or made.status != 200 or made.left or made.error in ("timeout", "idle"):
            continue
        answer = StreamAnswer(made)
        seen += 1
        if not answer.error_chunk and any(chunk.choices for chunk in answer.chunks) and not answer.finishes():
            ctx.note(made)
            return fail(f"{made.error or 'it ends'} after {len(answer.chunks)} chunks, without a finish_reason")
    return ok(f"{seen} streams")


# --- the chunks


def _every(ctx: Context, wrong: Any) -> Finding:
    """Fails with the first chunk of the plain stream that ``wrong`` has words for."""
    chunks = plain(ctx).chunks
    for number, chunk in enumerate(chunks):
        said = wrong(chunk)
        if said:
            return fail(f"chunk {number} of {len(chunks)}: {said}")
    return ok(f"all {len(chunks)}")


@check(
    "stream.chunk.object", "Every chunk says what it is", BREAKS, quick=True,
    rows=("s25_no_object", "s26_object_typo", "s26b_object_full"),
    expects='object is "chat.completion.chunk" in each',
    source="measured s25, s26: openai-python's stream() drops them",
)  # fmt: skip
def chunk_object(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        found = dig(chunk.data, "object")
        return "" if found == "chat.completion.chunk" else f"object is {short(repr(found), 50)}"

    return _every(ctx, wrong)


@check(
    "stream.chunk.id", "Every chunk has the id of the stream", FEATURE, quick=True,
    rows=("s28_no_id", "s28b_id_changes"),
    expects="the same id, a string, in each", source="spec; measured s28: openai-node loses the usage",
)  # fmt: skip
def chunk_id(ctx: Context) -> Finding:
    ids = [dig(chunk.data, "id") for chunk in plain(ctx).chunks]
    absent = [found for found in ids if not isinstance(found, str) or not found]
    if absent:
        return fail(f"{len(absent)} of {len(ids)} chunks have no id", rows=("s28_no_id",))
    return verdict(len(set(ids)) == 1, saw=f"{len(set(ids))} ids", rows=("s28b_id_changes",))


@check(
    "stream.chunk.created", "Every chunk has the time of the stream", COSMETIC,
    rows=("s29_created_float", "s29b_no_created", "s29c_created_str"),
    expects="the same created, a whole number, in each", source="spec: each chunk has the same timestamp",
)  # fmt: skip
def chunk_created(ctx: Context) -> Finding:
    times = [dig(chunk.data, "created") for chunk in plain(ctx).chunks]
    strange = [found for found in times if not is_int(found)]
    if strange:
        rows = {"string": "s29c_created_str", "number": "s29_created_float"}
        return fail(f"created is {kind(strange[0])}", rows=(rows.get(kind(strange[0]), "s29b_no_created"),))
    return verdict(len(set(times)) == 1, saw=f"{len(set(times))} times")


@check(
    "stream.chunk.model", "Every chunk names the model", COSMETIC, rows=("s30_no_model",),
    expects="model is the same string in each", source="spec, required",
)  # fmt: skip
def chunk_model(ctx: Context) -> Finding:
    names = [dig(chunk.data, "model") for chunk in plain(ctx).chunks]
    absent = [found for found in names if not isinstance(found, str) or not found]
    holds = not absent and len(set(map(str, names))) == 1
    return verdict(holds, saw=f"{len(absent)} without" if absent else short(", ".join(sorted(set(map(str, names))))))


@check(
    "stream.chunk.choices", "Every chunk has a list of choices", BREAKS, quick=True,
    rows=("s04_usage_nochoices", "s04b_usage_choicesnull"),
    expects="choices is a list in each, also in the usage chunk", source="measured s04; ATOM#1711: five of eight raise",
    requests=1, tokens=8,
)  # fmt: skip
def chunk_choices(ctx: Context) -> Finding:
    asked = ctx.chat_stream(usage=True)
    for chunk in (*plain(ctx).chunks, *asked.chunks):
        found = dig(chunk.data, "choices")
        if not isinstance(found, list) and not dig(chunk.data, "error"):
            row = "s04b_usage_choicesnull" if found is None else "s04_usage_nochoices"
            return fail(f"choices is {kind(found)} in {short(chunk.event.data, 60)}", rows=(row,))
    return ok("in each")


@check(
    "stream.chunk.index", "Every choice has an index", BREAKS, quick=True, rows=("s37_no_index",),
    expects="choices[].index is a whole number", source="spec, required; measured s37",
)  # fmt: skip
def chunk_index(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        found = next((dig(choice, "index") for choice in chunk.choices if not is_int(dig(choice, "index"))), None)
        strange = any(not is_int(dig(choice, "index")) for choice in chunk.choices)
        return f"index is {kind(found)}" if strange else ""

    return _every(ctx, wrong)


@check(
    "stream.chunk.delta", "Every choice has a delta", BREAKS, quick=True,
    rows=("s35_no_delta", "s36_delta_null", "s36b_message_not_delta"),
    expects="choices[].delta is an object, at the end too", source="spec, required; measured s35, s36",
)  # fmt: skip
def chunk_delta(ctx: Context) -> Finding:
    for chunk in plain(ctx).chunks:
        for choice in chunk.choices:
            found = dig(choice, "delta")
            if not isinstance(found, dict):
                row = "s36_delta_null" if found is None else "s35_no_delta"
                row = "s36b_message_not_delta" if "message" in as_dict(choice) else row
                return fail(f"delta is {kind(found)}", rows=(row,))
    return ok("in each")


@check(
    "stream.chunk.usage_type", "usage in a chunk is an object or null", FEATURE, rows=("s58b_usage_null_tokens",),
    expects="usage is absent, null, or has whole numbers", source="spec; measured s58b",
)  # fmt: skip
def chunk_usage(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        found = dig(chunk.data, "usage")
        if found is MISSING or found is None:
            return ""
        counts = [f"{name} {kind(dig(found, name))}" for name in COUNTS if not is_count(dig(found, name))]
        return ", ".join(counts)

    return _every(ctx, wrong)


# --- the message that comes of it


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

    return _every(ctx, wrong)


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

    return _every(ctx, wrong)


@check(
    "stream.tool_calls.none", "No tool call comes where there are no tools", BREAKS,
    expects="no tool_calls and no function_call in any delta", source="spec",
)  # fmt: skip
def no_tools(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        delta = next((one for one in chunk.deltas if one.get("tool_calls") or one.get("function_call")), None)
        return short(delta) if delta else ""

    return _every(ctx, wrong)


# --- against the plain answer


@check(
    "stream.text", "A stream says what a plain answer says", FEATURE, needs=("stream", "greedy"), requests=1,
    tokens=LONG, alone=True, expects="equal texts at temperature 0", source="one API, two ways",
)  # fmt: skip
def same_text(ctx: Context) -> Finding:
    said, streamed = ctx.chat(tokens=LONG).text, ctx.chat_stream(tokens=LONG)
    streamed.streamed()
    if said.strip() == streamed.text.strip():
        return ok(short(said, 60))
    pieces = [str(as_dict(piece.get("delta")).get("content") or "") for piece in streamed.of_choice()]
    grows = [piece for piece in pieces if piece]
    if len(grows) > 2 and all(b.startswith(a) for a, b in pairwise(grows)):
        return fail("every piece repeats all before it, instead of adding to it")
    if ctx.chat(tokens=LONG, again=2).text != said:
        return inconclusive("the plain answers differ among themselves")
    return fail(f"{short(streamed.text, 50)!r}, plain {short(said, 50)!r}")


@check(
    "stream.finish.same", "A stream ends for the reason of a plain answer", FEATURE, needs=("stream", "greedy"),
    alone=True, expects="equal finish_reasons", source="one API, two ways",
)  # fmt: skip
def same_finish(ctx: Context) -> Finding:
    said, streamed = ctx.chat(tokens=LONG), ctx.chat_stream(tokens=LONG)
    streamed.streamed()
    if said.text.strip() != streamed.text.strip() or streamed.finish is MISSING:
        return inconclusive("the texts differ (see stream.text)")
    return verdict(said.finish == streamed.finish, saw=f"{short(streamed.finish)}, plain {short(said.finish)}")


@check(
    "stream.incremental", "A stream comes piece by piece", FEATURE, alone=True, needs=("stream", "greedy"),
    expects="several content events, which do not all arrive at the end", source="buffering proxies",
)  # fmt: skip
def incremental(ctx: Context) -> Finding:
    answer = ctx.chat_stream(tokens=LONG)
    answer.streamed()
    events = [chunk.event for chunk in answer.chunks if any(delta.get("content") for delta in chunk.deltas)]
    if len(events) < 2:
        used = len(ctx.chat(tokens=LONG).text.split())
        return (
            inconclusive("the answer is too short")
            if used < 3
            else fail(f"{len(events)} content event for {used} words")
        )
    pieces = len({event.at_s for event in events})
    if pieces == 1 and answer.exchange.took_s > 0.5:
        return fail(f"{len(events)} events arrive at once, after {events[0].at_s:.2f} s")
    return ok(f"{len(events)} events, the first after {events[0].at_s:.2f} of {answer.exchange.took_s:.2f} s")


@check(
    "stream.utf8", "No event cuts a character in two", FEATURE, last=True,
    expects="no event with half a surrogate pair", source="detokenisers",
)  # fmt: skip
def utf8(ctx: Context) -> Finding:
    for made in ctx.session.exchanges:
        if made.media_type == "text/event-stream" and made.status == 200:
            answer = StreamAnswer(made)
            half = next((chunk for chunk in answer.chunks if _has_half(chunk.deltas)), None)
            if half:
                ctx.note(made)
                return fail(f"half a character: {short(half.event.data, 80)}")
    return ok("none does")


def _has_half(deltas: list[dict[str, Any]]) -> bool:
    texts = (delta.get("content") for delta in deltas)
    return any(isinstance(text, str) and any("\ud800" <= sign <= "\udfff" for sign in text) for text in texts)


@check(
    "stream.start", "The head of a stream is sent before it is over", COSMETIC, alone=True, needs=("stream", "greedy"),
    expects="report only: when the first event came", source="proxy time-outs",
)  # fmt: skip
def start(ctx: Context) -> Finding:
    made = ctx.chat_stream(tokens=LONG).exchange
    return ok(f"first byte after {made.first_byte_s or 0:.2f} s, all after {made.took_s:.2f} s")


# --- usage


@check(
    "stream.usage", "A stream counts its tokens when asked", FEATURE, requests=1, tokens=8, quick=True,
    rows=("s05_usage_on_last",),
    expects="stream_options.include_usage brings a chunk with whole usage",
    source="spec ChatCompletionStreamOptions; measured s07; llama.cpp#15443",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    answer = counted(ctx)
    if not answer.usages:
        return Finding(verdict="ignored", saw="no chunk has usage")
    wrong = [
        f"{name} is {kind(answer.usage.get(name, MISSING))}" for name in COUNTS if not is_count(answer.usage.get(name))
    ]
    return verdict(not wrong, saw=", ".join(wrong) or short(answer.usage))


@check(
    "stream.usage.chunk", "The usage has a chunk of its own", FEATURE, rows=("s05_usage_on_last",),
    expects="the usage chunk has choices []", source="spec; openvino model_server#2640",
)  # fmt: skip
def usage_chunk(ctx: Context) -> Finding:
    answer = _with_usage(ctx)
    found = dig(answer.usages[-1].data, "choices")
    return verdict(not found, saw=f"choices is {short(found, 60)}")


@check(
    "stream.usage.last", "The usage comes last", BREAKS, rows=("s07_chunk_after_usage",),
    expects="no chunk after the usage chunk",
    source="measured s07: the SDKs' stream() takes the usage of the last chunk",
)  # fmt: skip
def usage_last(ctx: Context) -> Finding:
    answer = _with_usage(ctx)
    after = len(answer.chunks) - 1 - answer.chunks.index(answer.usages[-1])
    return verdict(not after, saw=f"{after} chunks come after it" if after else "it does")


@check(
    "stream.usage.once", "The usage comes once", FEATURE, rows=("s06_usage_every",),
    expects="one chunk with usage, null or nothing in the others",
    source="measured s06: LangChain and pydantic-ai add them up",
)  # fmt: skip
def usage_once(ctx: Context) -> Finding:
    answer = _with_usage(ctx)
    return verdict(len(answer.usages) == 1, saw=f"{len(answer.usages)} of {len(answer.chunks)} chunks have usage")


@check(
    "stream.usage.same", "A stream counts as a plain answer does", FEATURE, needs=("stream", "greedy", "usage"),
    alone=True, expects="the same three numbers", source="one API, two ways",
)  # fmt: skip
def usage_same(ctx: Context) -> Finding:
    answer, said = _with_usage(ctx), ctx.chat()
    counts = [answer.usage.get(name) for name in COUNTS]
    others = [said.usage.get(name) for name in COUNTS]
    if counts[0] == others[0] and counts != others and answer.text.strip() != said.text.strip():
        return inconclusive("the texts differ (see stream.text)")
    return verdict(counts == others, saw=f"{counts}, plain {others}")


@check(
    "stream.usage.unasked", "No usage chunk comes unasked", FEATURE, quick=True,
    expects="no chunk with empty choices", source="apfel#100: choices[0] of every tutorial raises IndexError",
)  # fmt: skip
def usage_unasked(ctx: Context) -> Finding:
    empty = [chunk for chunk in plain(ctx).chunks if dig(chunk.data, "choices") == []]
    return verdict(not empty, saw=short(empty[0].event.data, 80) if empty else "none does")


def _with_usage(ctx: Context) -> StreamAnswer:
    answer = counted(ctx)
    if not answer.usages:
        raise Ended(inconclusive("no chunk has usage (see stream.usage)"))
    return answer


# --- options


@check(
    "stream.options.alone", "stream_options without a stream are refused or ignored", COSMETIC, requests=1, tokens=8,
    expects="a 4xx, or a plain answer", source="spec: only set when stream is true",
)  # fmt: skip
def options_alone(ctx: Context) -> Finding:
    return clean(ctx.chat(stream_options={"include_usage": True}), "stream_options alone")


@check(
    "stream.options.null", "stream_options may be null", FEATURE, requests=1, tokens=8,
    expects="a stream", source="spec: nullable; typed clients send nulls",
)  # fmt: skip
def options_null(ctx: Context) -> Finding:
    answer = ctx.chat_stream(stream_options=None)
    return verdict(bool(answer.streamed(refusal="fail")), saw=answer.brief())


@check(
    "stream.options.false", "include_usage may be false", FEATURE, requests=1, tokens=8,
    expects="a stream without usage chunk", source="spec",
)  # fmt: skip
def options_false(ctx: Context) -> Finding:
    answer = ctx.chat_stream(stream_options={"include_usage": False})
    answer.streamed(refusal="fail")
    empty = [chunk for chunk in answer.chunks if dig(chunk.data, "choices") == []]
    if empty and any(dig(chunk.data, "choices") == [] for chunk in plain(ctx).chunks):
        return inconclusive("a usage chunk comes always (see stream.usage.unasked)")
    return verdict(not empty, saw="a usage chunk comes" if empty else "none comes")


@check(
    "stream.options.obfuscation", "include_obfuscation is let pass", COSMETIC, requests=1, tokens=8,
    expects="a stream", source="spec ChatCompletionStreamOptions",
)  # fmt: skip
def obfuscation(ctx: Context) -> Finding:
    answer = ctx.chat_stream(stream_options={"include_obfuscation": False})
    return verdict(bool(answer.streamed(refusal="fail")), saw=answer.brief())


@check(
    "stream.accept", "A stream comes whatever a client accepts", FEATURE, requests=1, tokens=8,
    expects="a stream with Accept: text/event-stream, as with application/json",
    source="openai-python sends application/json",
)  # fmt: skip
def accept(ctx: Context) -> Finding:
    answer = ctx.chat_stream(headers={"Accept": "text/event-stream"})
    return verdict(bool(answer.streamed(refusal="fail")), saw=answer.brief())


@check(
    "stream.error", "An error within a stream is one for the SDKs", BREAKS, last=True,
    rows=("s18_event_error_flat", "s18b_error_flat_object", "s18c_error_finish"),
    expects='data: {"error": {"message": …}}', source="measured s15, s18: others pass for a normal end; goose#8021",
)  # fmt: skip
def error_event(ctx: Context) -> Finding:
    seen = 0
    for made in ctx.session.exchanges:
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
