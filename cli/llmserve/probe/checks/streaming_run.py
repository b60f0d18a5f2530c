"""Every chat stream of the run, whichever check asked for it."""

from __future__ import annotations

from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, in_area
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, dig, is_count, short
from llmserve.probe.history import Seen, first_wrong, streamed
from llmserve.probe.shape import misfit
from llmserve.probe.shapes import CHUNK
from llmserve.probe.stream import StreamAnswer

check = in_area("streaming", needs=("stream",))

ROUTE = "/chat/completions"
_ENDS = ("tool_calls", "function_call", "stop", "length", "content_filter")


def _judged(ctx: Context, wrong: object) -> Finding:
    return first_wrong(ctx, streamed(ctx, ROUTE), wrong)  # type: ignore[arg-type]


@check(
    "stream.every.shape", "Every chunk of the run is whole", BREAKS, last=True,
    expects="id, object, created, model, choices with index and delta in each", source="spec; now-and-then faults",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    def wrong(seen: Seen[StreamAnswer]) -> str:
        return next((said for chunk in seen.answer.chunks if (said := misfit(chunk.data, CHUNK, "chunk"))), "")

    return _judged(ctx, wrong)


@check(
    "stream.every.head", "All chunks of a stream belong together", FEATURE, last=True,
    expects="one id and one model in each stream of the run", source="spec: the same in each chunk",
)  # fmt: skip
def head(ctx: Context) -> Finding:
    def wrong(seen: Seen[StreamAnswer]) -> str:
        for name in ("id", "model"):
            found = {str(dig(chunk.data, name)) for chunk in seen.answer.chunks}
            if len(found) > 1:
                return f"{name} is {short(' and '.join(sorted(found)), 80)}"
        return ""

    return _judged(ctx, wrong)


@check(
    "stream.every.end", "Every stream ends as it should", BREAKS, last=True,
    expects="each choice says once why it ended and nothing after, then comes one [DONE], the last event",
    source="spec; measured s08, s08b",
)  # fmt: skip
def end(ctx: Context) -> Finding:
    return _judged(ctx, _ends_wrong)


def _indexes(answer: StreamAnswer) -> list[int]:
    found = {dig(choice, "index") for chunk in answer.chunks for choice in chunk.choices if isinstance(choice, dict)}
    return sorted(index for index in found if is_count(index))


def _ends_wrong(seen: Seen[StreamAnswer]) -> str:
    answer = seen.answer
    for index in {
        piece for chunk in answer.chunks for choice in chunk.choices if is_count(piece := dig(choice, "index"))
    }:
        pieces = answer.of_choice(index)
        ends = [place for place, piece in enumerate(pieces) if piece.get("finish_reason") in _ENDS]
        if len(ends) != 1:
            return f"{len(ends)} finish_reasons for choice {index}"
        later = [as_dict(piece.get("delta")) for piece in pieces[ends[0] + 1 :]]
        if any(delta.get("content") or delta.get("tool_calls") for delta in later):
            return f"choice {index} goes on after its finish_reason"
    last = (answer.events[-1].data or "").strip() if answer.events else ""
    return (
        ""
        if answer.done == 1 and last == "[DONE]"
        else f"{answer.done} times [DONE], the last event is {short(last, 40)}"
    )


@check(
    "stream.every.usage", "Every stream counts its tokens if it was asked to", FEATURE, last=True,
    expects="one chunk with usage and no choices, after the end of all choices; total is the sum; none if not asked",
    source="spec ChatCompletionStreamOptions",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    return _judged(ctx, _uncounted)


def _uncounted(seen: Seen[StreamAnswer]) -> str:
    answer, asked = seen.answer, as_dict(seen.asked.get("stream_options")).get("include_usage") is True
    if not asked:
        return "usage comes unasked" if any(not chunk.choices for chunk in answer.usages) else ""
    if len(answer.usages) != 1:
        return f"{len(answer.usages)} chunks have usage"
    counts = [answer.usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total")]
    if all(map(is_count, counts)) and counts[0] + counts[1] != counts[2]:  # type: ignore[operator]
        return f"{counts[0]} + {counts[1]}, total {counts[2]}"
    return "" if answer.usages[0] is answer.chunks[-1] else "a chunk comes after the usage"


@check(
    "stream.every.role", "No stream says twice whose message it is", BREAKS, last=True,
    expects="role in the first delta of a choice alone", source="measured s01",
)  # fmt: skip
def role(ctx: Context) -> Finding:
    def wrong(seen: Seen[StreamAnswer]) -> str:
        for index in {
            piece for chunk in seen.answer.chunks for c in chunk.choices if is_count(piece := dig(c, "index"))
        }:
            roles = [as_dict(piece.get("delta")).get("role") for piece in seen.answer.of_choice(index)]
            if roles[:1] != ["assistant"] or any(roles[1:]):
                return f"roles of choice {index}: {short(roles, 60)}"
        return ""

    return _judged(ctx, wrong)


@check(
    "stream.every.logprobs", "Streams bring the logprobs that were asked for, and no others", COSMETIC, last=True,
    expects="logprobs with content where asked, null or absent elsewhere", source="spec; litellm#4898",
)  # fmt: skip
def logprobs(ctx: Context) -> Finding:
    def wrong(seen: Seen[StreamAnswer]) -> str:
        given = any(dig(choice, "logprobs", "content") for chunk in seen.answer.chunks for choice in chunk.choices)
        return "logprobs come unasked" if given and not seen.asked.get("logprobs") else ""

    return _judged(ctx, wrong)
