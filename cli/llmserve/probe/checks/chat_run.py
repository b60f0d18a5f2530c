"""Every whole chat answer of the run, whichever check asked for it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, fail, in_area, inconclusive, ok
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count, is_number, short
from llmserve.probe.history import Seen, first_wrong, own_ids, streamed, whole
from llmserve.probe.shape import misfit
from llmserve.probe.shapes import CHAT

check = in_area("chat", needs=("chat",))

ROUTE = "/chat/completions"
SAMPLING = (
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "n", "stop", "logprobs", "top_logprobs",
    "logit_bias", "frequency_penalty", "presence_penalty", "stream", "stream_options", "user", "metadata", "store",
)  # fmt: skip
"""Fields that change what is said and not what is asked: the prompt is the same with and without them."""
SHORT = 64
"""A limit up to here ends an answer before the context does."""


def _limit(asked: dict[str, Any]) -> int | None:
    limits = [asked[name] for name in ("max_tokens", "max_completion_tokens") if is_count(asked.get(name))]
    return min(limits, default=None)


def _one(asked: dict[str, Any]) -> bool:
    return asked.get("n") in (None, 1)


@check(
    "chat.every.shape", "Every chat answer of the run is whole", BREAKS, last=True,
    expects="id, object, created, model, choices and usage in each, to the depths", source="spec; faults now and then",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), lambda seen: misfit(seen.answer.data, CHAT))


@check(
    "chat.every.choices", "Every chat answer has the choices that were asked for", BREAKS, last=True,
    expects="one choice, or n of them, numbered from 0 in order", source="spec: n",
)  # fmt: skip
def choices(ctx: Context) -> Finding:
    def wrong(seen: Seen[Answer]) -> str:
        indexes = [dig(choice, "index") for choice in seen.answer.choices]
        wanted = 1 if _one(seen.asked) else seen.asked.get("n")
        if not is_count(wanted) or (len(indexes) == 1 and wanted != 1):
            return "" if indexes == [0] else f"indexes {short(indexes, 40)}"  # n without effect: see param.n
        return "" if indexes == list(range(wanted)) else f"indexes {short(indexes, 40)} for n {wanted}"  # type: ignore[arg-type]

    return first_wrong(ctx, whole(ctx, ROUTE), wrong)


@check(
    "chat.every.usage", "Every chat answer counts its tokens right", FEATURE, last=True,
    expects="total is the sum, no part is larger than its whole, a limit that cut the answer is what was counted",
    source="spec CompletionUsage",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), _miscounted)


def _miscounted(seen: Seen[Answer]) -> str:
    used = seen.answer.usage
    prompt, said, total = (used.get(f"{name}_tokens") for name in ("prompt", "completion", "total"))
    if not (is_count(prompt) and is_count(said) and is_count(total)):
        return ""  # its shape is wrong, which is another check's
    cached = dig(used, "prompt_tokens_details", "cached_tokens")
    thought = dig(used, "completion_tokens_details", "reasoning_tokens")
    if prompt + said != total:  # type: ignore[operator]
        return f"{prompt} + {said}, total {total}"
    if (is_count(cached) and cached > prompt) or (is_count(thought) and thought > said):
        return f"cached {cached} of {prompt}, reasoning {thought} of {said}"
    limit = _limit(seen.asked)
    cut = [dig(choice, "finish_reason") for choice in seen.answer.choices] == ["length"]
    if cut and limit and limit <= SHORT and _one(seen.asked) and said != limit:
        return f"cut for its length after {said} tokens, the limit was {limit}"
    if limit and limit <= SHORT and _one(seen.asked) and said > limit:  # type: ignore[operator]
        return f"{said} tokens, the limit was {limit}"
    return f"no token for {short(seen.answer.text, 30)!r}" if seen.answer.text and not said else ""


@check(
    "chat.every.prompt", "The same prompt has the same number of tokens throughout the run", FEATURE, last=True,
    expects="prompt_tokens is equal for equal messages and tools, streamed or not, early or late",
    source="spec CompletionUsage; answers and histories that leak into each other",
)  # fmt: skip
def prompt(ctx: Context) -> Finding:
    counts: dict[str, set[int]] = defaultdict(set)
    everything: list[Seen[Any]] = [*whole(ctx, ROUTE), *streamed(ctx, ROUTE)]
    for seen in everything:
        count = seen.answer.usage.get("prompt_tokens")
        if is_count(count):
            asked = {name: value for name, value in seen.asked.items() if name not in SAMPLING}
            counts[json.dumps(asked, sort_keys=True)].add(count)
    if not counts:
        return inconclusive("no answer counts prompt tokens")
    for text, found in counts.items():
        if len(found) > 1:
            return fail(f"{', '.join(map(str, sorted(found)))} tokens for {short(text, 80)}")
    return ok(f"{len(counts)} different prompts")


@check(
    "chat.every.finish", "Every answer that called a tool or was cut says so", FEATURE, last=True,
    expects="tool_calls with calls (stop for a named function), length where the limit was reached and never below it",
    source="spec finish_reason",
)  # fmt: skip
def finish(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), _ends_wrong)


def _ends_wrong(seen: Seen[Answer]) -> str:
    limit, said = _limit(seen.asked), seen.answer.usage.get("completion_tokens")
    for choice in seen.answer.choices:
        reason, message = dig(choice, "finish_reason"), as_dict(dig(choice, "message"))
        if reason == "tool_calls" and not as_list(message.get("tool_calls")):
            return "finish_reason tool_calls without a call"
        if reason == "length" and _one(seen.asked) and limit and is_count(said) and said < limit <= SHORT:  # type: ignore[operator]
            return f"finish_reason length after {said} of {limit} tokens"
    return ""


@check(
    "chat.every.id", "No two answers of the run have one id", COSMETIC, last=True,
    expects="an id for each", source="spec: a unique identifier",
)  # fmt: skip
def ids(ctx: Context) -> Finding:
    return own_ids(whole(ctx, ROUTE))


@check(
    "chat.every.logprobs", "Every logprob of the run can be one", FEATURE, last=True,
    expects="0 or less; the bytes are those of the token; alternatives differ, the likeliest first; as many as asked",
    source="spec ChatCompletionTokenLogprob",
)  # fmt: skip
def logprobs(ctx: Context) -> Finding:
    return first_wrong(ctx, (seen for seen in whole(ctx, ROUTE) if seen.asked.get("logprobs") is True), _improbable)


def _improbable(seen: Seen[Answer]) -> str:
    asked: Any = seen.asked.get("top_logprobs")
    wanted = asked if is_count(asked) else 0
    for choice in seen.answer.choices:
        for entry in as_list(dig(choice, "logprobs", "content")):
            tops = as_list(dig(entry, "top_logprobs"))
            values = [value for one in (entry, *tops) if is_number(value := dig(one, "logprob"))]
            if any(value > 1e-3 for value in values):
                return f"a logprob of {max(values):.4g}"
            if (said := _bytes_differ(entry)) or (said := _alternatives(tops, wanted)):
                return said
    return ""


def _bytes_differ(entry: Any) -> str:
    token, told = dig(entry, "token"), dig(entry, "bytes")
    if not isinstance(token, str) or not isinstance(told, list) or not told or "\ufffd" in token:
        return ""
    if not all(is_count(one) and one < 256 for one in told):
        return f"bytes {short(told, 40)}"
    said = bytes(told).decode("utf-8", "replace")
    strange = "\ufffd" in said or said.strip() == token.strip() or token.startswith(("<0x", "token_id", "bytes:"))
    return "" if strange or not token.isascii() else f"token {short(repr(token), 30)} has the bytes of {said!r}"


def _alternatives(tops: list[Any], wanted: int) -> str:
    pairs = [(dig(one, "token"), tuple(as_list(dig(one, "bytes")))) for one in tops]
    if len(tops) > wanted + 1:
        return f"{len(tops)} alternatives, {wanted} were asked for"
    if len({pair for pair in pairs if pair[1]}) < sum(bool(pair[1]) for pair in pairs):
        return f"an alternative stands there twice: {short([pair[0] for pair in pairs], 60)}"
    return ""
