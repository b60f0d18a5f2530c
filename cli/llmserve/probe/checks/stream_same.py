"""A stream against the plain answer to the same request."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from llmserve.probe.check import (
    COSMETIC,
    FEATURE,
    Finding,
    fail,
    in_area,
    inconclusive,
    ok,
    verdict,
)
from llmserve.probe.checks.streaming import LONG
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, as_dict, short
from llmserve.probe.stream import StreamAnswer

check = in_area("streaming", needs=("stream",))


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
    for made in ctx.session.seen:
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
