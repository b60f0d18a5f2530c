"""Every text completion of the run, whole and streamed."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import FEATURE, Finding, in_area
from llmserve.probe.checks.completions import ANSWER, CHUNK
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count, short
from llmserve.probe.history import Seen, first_wrong, streamed, whole
from llmserve.probe.shape import misfit
from llmserve.probe.stream import StreamAnswer

check = in_area("completions", needs=("completions",))

ROUTE = "/completions"


@check(
    "completions.every.shape", "Every completion of the run is whole", FEATURE, last=True,
    expects="id, object, created, model, choices and usage in each", source="spec CreateCompletionResponse",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), lambda seen: misfit(seen.answer.data, ANSWER))


@check(
    "completions.every.choices", "Every prompt has its completions", FEATURE, last=True,
    expects="n choices for each prompt, numbered from 0 in order", source="spec: prompt, n",
)  # fmt: skip
def choices(ctx: Context) -> Finding:
    def wrong(seen: Seen[Answer]) -> str:
        prompts, n = _prompts(seen.asked.get("prompt")), seen.asked.get("n") or 1
        indexes = [dig(choice, "index") for choice in seen.answer.choices]
        few = n != 1 and len(indexes) == prompts  # n without effect: see completions.n
        wanted = list(range(prompts if few else prompts * n))
        return "" if indexes == wanted else f"indexes {short(indexes, 40)} for {prompts} prompts, n {n}"

    return first_wrong(ctx, whole(ctx, ROUTE), wrong)


def _prompts(given: Any) -> int:
    items = as_list(given)
    return len(items) if items and isinstance(items[0], str | list) else 1


@check(
    "completions.every.usage", "Every completion counts its tokens right", FEATURE, last=True,
    expects="total is the sum; a limit that cut the text is what was counted", source="spec CompletionUsage",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), _miscounted)


def _miscounted(seen: Seen[Answer]) -> str:
    counts = [seen.answer.usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total")]
    if not all(map(is_count, counts)):
        return ""
    prompt, said, total = counts
    if prompt + said != total:  # type: ignore[operator]
        return f"{prompt} + {said}, total {total}"
    limit = seen.asked.get("max_tokens")
    alone = [dig(choice, "finish_reason") for choice in seen.answer.choices]
    if alone == ["length"] and is_count(limit) and limit and said != limit and "best_of" not in seen.asked:
        return f"cut for its length after {said} tokens, the limit was {limit}"
    return ""


@check(
    "completions.every.stream", "Every streamed completion is whole", FEATURE, last=True,
    expects="chunks of one id, one finish_reason for each choice, [DONE] as the last event", source="spec; SDKs",
)  # fmt: skip
def stream(ctx: Context) -> Finding:
    return first_wrong(ctx, streamed(ctx, ROUTE), _stream_wrong)


def _stream_wrong(seen: Seen[StreamAnswer]) -> str:
    answer = seen.answer
    if said := next((said for chunk in answer.chunks if (said := misfit(chunk.data, CHUNK, "chunk"))), ""):
        return said
    if len({str(dig(chunk.data, "id")) for chunk in answer.chunks}) > 1:
        return "the id changes"
    for index in {str(dig(choice, "index")) for chunk in answer.chunks for choice in chunk.choices}:
        if len(answer.finishes(int(index))) != 1:
            return f"{len(answer.finishes(int(index)))} finish_reasons for choice {index}"
    asked = as_dict(seen.asked.get("stream_options")).get("include_usage") is True
    if not asked and any(not chunk.choices for chunk in answer.chunks):
        return "usage comes unasked"
    last = (answer.events[-1].data or "").strip()
    return (
        "" if answer.done == 1 and last == "[DONE]" else f"{answer.done} times [DONE], the last event {short(last, 40)}"
    )
