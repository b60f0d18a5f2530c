"""Every answer of the Responses API that the run has seen, whole and streamed."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, in_area
from llmserve.probe.checks.responses import ANSWER, MESSAGE
from llmserve.probe.context import Context
from llmserve.probe.dig import as_list, dig, is_count, is_int, short
from llmserve.probe.history import Seen, first_wrong, own_ids, streamed, whole
from llmserve.probe.shape import misfit
from llmserve.probe.stream import StreamAnswer

check = in_area("responses", needs=("responses",))

ROUTE = "/responses"
LAST = ("response.completed", "response.incomplete", "response.failed")


@check(
    "responses.every.shape", "Every answer of the run is whole", BREAKS, last=True,
    expects="the required fields of Response and of its messages in each", source="spec Response",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), lambda seen: _misfit(seen.answer.data))


def _misfit(data: Any) -> str:
    messages = (item for item in as_list(dig(data, "output")) if dig(item, "type") == "message")
    return misfit(data, ANSWER) or next(filter(None, (misfit(one, MESSAGE, "message") for one in messages)), "")


@check(
    "responses.every.usage", "Every answer counts its tokens right", FEATURE, last=True,
    expects="total is the sum, and no more output than max_output_tokens", source="spec ResponseUsage",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), _miscounted)


def _miscounted(seen: Seen[Answer]) -> str:
    counts = [seen.answer.usage.get(f"{name}_tokens") for name in ("input", "output", "total")]
    if not all(map(is_count, counts)):
        return ""
    given, said, total = counts
    if given + said != total:  # type: ignore[operator]
        return f"{given} + {said}, total {total}"
    limit = seen.asked.get("max_output_tokens")
    return f"{said} tokens, the limit was {limit}" if limit and is_count(limit) and said > limit else ""


@check(
    "responses.every.status", "Every answer says whether it is complete", FEATURE, last=True,
    expects="completed, or incomplete with its reason; an error only with failed", source="spec Response.status",
)  # fmt: skip
def status(ctx: Context) -> Finding:
    def wrong(seen: Seen[Answer]) -> str:
        said, details = dig(seen.answer.data, "status"), dig(seen.answer.data, "incomplete_details")
        holds = (said == "completed" and not details) or (said == "incomplete" and bool(dig(details, "reason")))
        return (
            "" if holds or seen.asked.get("background") else f"status {said!r}, incomplete_details {short(details, 40)}"
        )

    return first_wrong(ctx, whole(ctx, ROUTE), wrong)


@check(
    "responses.every.id", "No two answers of the run have one id", COSMETIC, last=True,
    expects="an id for each", source="spec: a unique identifier; previous_response_id names one",
)  # fmt: skip
def ids(ctx: Context) -> Finding:
    return own_ids(whole(ctx, ROUTE))


@check(
    "responses.every.stream", "Every streamed answer begins, counts and ends as it should", BREAKS, last=True,
    expects="created first, sequence numbers that rise by one, named events, one id, a last event that is terminal",
    source="spec ResponseStreamEvent; Codex shows nothing otherwise",
)  # fmt: skip
def stream(ctx: Context) -> Finding:
    return first_wrong(ctx, streamed(ctx, ROUTE), _stream_wrong)


def _stream_wrong(seen: Seen[StreamAnswer]) -> str:
    chunks = seen.answer.chunks
    kinds = [str(dig(chunk.data, "type")) for chunk in chunks]
    status = dig(chunks[-1].data, "response", "status")
    if kinds[-1] in LAST and status != kinds[-1].partition(".")[2]:
        return f"{kinds[-1]} with status {short(repr(status), 30)}"
    if kinds[0] != "response.created" or kinds[-1] not in LAST or sum(kind in LAST for kind in kinds) != 1:
        return f"it begins with {short(kinds[0], 40)} and ends with {short(kinds[-1], 40)}"
    unnamed = next((chunk for chunk in chunks if chunk.event.name != dig(chunk.data, "type")), None)
    if unnamed:
        return f"event {short(unnamed.event.name, 40)} has type {short(dig(unnamed.data, 'type'), 40)}"
    numbers = [dig(chunk.data, "sequence_number") for chunk in chunks]
    if not all(map(is_int, numbers)) or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return f"sequence numbers {short(numbers, 60)}"
    found = {str(one) for chunk in chunks if isinstance(one := dig(chunk.data, "response", "id"), str)}
    return "" if len(found) == 1 else f"ids {short(sorted(found), 80)}"
