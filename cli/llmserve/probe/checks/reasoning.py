"""Thoughts: where they are said, in what order, and whether they are counted. Only where the model thinks aloud."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import COSMETIC, FEATURE, Finding, ignored, in_area, inconclusive, not_applicable, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, dig, is_count, short
from llmserve.probe.needs import need
from llmserve.probe.refusal import never_500

check = in_area("reasoning", needs=("reasoning",))

FIELDS = ("reasoning_content", "reasoning")
BUDGET = 64
ASK = "Think first: which is more, four or five?"


def _whole(ctx: Context, **fields: Any) -> Answer:
    answer = ctx.chat(ASK, tokens=BUDGET, **fields)
    answer.accepted(refusal="fail")
    return answer


def _named(told: dict[str, Any]) -> set[str]:
    return {name for name in FIELDS if isinstance(told.get(name), str) and told[name]}


@need("reasoning", needs=("chat",), requests=2)
def reasoning(ctx: Context) -> Finding | None:
    """The model thinks: its thoughts stand in a field of their own, in its text, or in the count of tokens."""
    answer = _whole(ctx)
    inside = "<think>" in answer.text[:200] or "</think>" in answer.text
    counted = dig(answer.usage, "completion_tokens_details", "reasoning_tokens")
    streamed = any(_named(as_dict(piece.get("delta"))) for piece in ctx.chat_stream(ASK, tokens=BUDGET).of_choice())
    if _named(answer.message) or inside or streamed or (is_count(counted) and counted):
        return None
    return not_applicable("this model shows no thoughts")


@check(
    "reasoning.field", "Thoughts stand in one field, streamed or not", FEATURE, requests=2, tokens=2 * BUDGET,
    needs=("reasoning", "stream"), expects="reasoning_content or reasoning, the same in both modes, outside content",
    source="vllm#27755, vllm#50624, litellm#20246, mlx-vlm#1408",
)  # fmt: skip
def one_field(ctx: Context) -> Finding:
    answer = _whole(ctx)
    streamed = ctx.chat_stream(ASK, tokens=BUDGET)
    streamed.streamed()
    whole, pieces = _named(answer.message), {name for name in FIELDS if streamed.joined(name)}
    return verdict(whole == pieces and bool(whole), saw=f"whole: {sorted(whole)}, streamed: {sorted(pieces)}")


@check(
    "reasoning.outside", "No thinking marks are left in the text", FEATURE, tokens=BUDGET,
    expects="content without <think>", source="parsers that are switched off",
)  # fmt: skip
def outside(ctx: Context) -> Finding:
    text = _whole(ctx).text
    return verdict("think>" not in text, saw=f"content {short(text, 60)!r}")


@check(
    "reasoning.order", "Thoughts come before the text", FEATURE, needs=("reasoning", "stream"),
    expects="no content before the last thought", source="clients that fold thoughts away",
)  # fmt: skip
def order(ctx: Context) -> Finding:
    streamed = ctx.chat_stream(ASK, tokens=BUDGET)
    streamed.streamed()
    deltas = [as_dict(piece.get("delta")) for piece in streamed.of_choice()]
    thoughts = [place for place, delta in enumerate(deltas) if _named(delta)]
    texts = [place for place, delta in enumerate(deltas) if delta.get("content")]
    if not thoughts:
        return inconclusive("no thoughts in the stream")
    return verdict(
        not texts or thoughts[-1] <= texts[0], saw=f"last thought in delta {thoughts[-1]}, text from {texts[:1]}"
    )


@check(
    "reasoning.usage", "Thoughts are counted", FEATURE, needs=("reasoning", "usage"),
    expects="completion_tokens_details.reasoning_tokens above 0, and no more than completion_tokens", source="spec",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    answer = _whole(ctx)
    if not _named(answer.message):
        return inconclusive("no thoughts in this answer")
    counted = dig(answer.usage, "completion_tokens_details", "reasoning_tokens")
    right = is_count(counted) and 0 < counted <= answer.tokens("completion")
    return verdict(right, saw=f"reasoning_tokens {counted!r} of {answer.usage.get('completion_tokens')!r}")


@check(
    "reasoning.same", "Streamed and whole, the thoughts are the same", FEATURE,
    needs=("reasoning", "stream", "greedy"), expects="the same thoughts", source="consistency",
)  # fmt: skip
def same(ctx: Context) -> Finding:
    streamed = ctx.chat_stream(ASK, tokens=BUDGET)
    streamed.streamed()
    whole = _whole(ctx).message
    one, other = (_said(found) for found in (whole, {name: streamed.joined(name) for name in FIELDS}))
    return verdict(one == other, saw=f"whole {short(one, 50)!r}, streamed {short(other, 50)!r}")


def _said(told: dict[str, Any]) -> str:
    return next((str(told[name]) for name in FIELDS if told.get(name)), "")


@check(
    "reasoning.roundtrip", "Thoughts may be sent back", FEATURE, requests=1, tokens=1,
    expects="200", source="vllm#50624: what is sent is not taken",
)  # fmt: skip
def roundtrip(ctx: Context) -> Finding:
    message = _whole(ctx).message
    history = [{"role": "user", "content": ASK}, message, {"role": "user", "content": "And now?"}]
    ctx.chat(history, tokens=1).accepted(refusal="fail")
    return ok("200")


@check(
    "reasoning.budget", "A budget that thoughts use up ends with length", FEATURE, requests=1, tokens=4,
    expects="finish_reason 'length', no text, no crash", source="spec max_completion_tokens counts thoughts",
)  # fmt: skip
def budget(ctx: Context) -> Finding:
    answer = ctx.chat(ASK, tokens=4)
    answer.accepted(refusal="fail")
    spent = answer.usage.get("completion_tokens")
    right = answer.finish == "length" and (not is_count(spent) or spent <= 4)  # type: ignore[operator]
    return verdict(right, saw=f"finish_reason {answer.finish!r}, completion_tokens {spent!r}")


@check(
    "reasoning.effort", "reasoning_effort none saves thoughts", COSMETIC, requests=1, tokens=BUDGET,
    expects="fewer thoughts, or a clean refusal", source="spec ReasoningEffort",
)  # fmt: skip
def effort(ctx: Context) -> Finding:
    answer = ctx.chat(ASK, tokens=BUDGET, reasoning_effort="none")
    if not answer.is_ok:
        return never_500(answer, "reasoning_effort none")
    less, more = (len(_said(found.message)) for found in (answer, _whole(ctx)))
    if less >= more:
        return ignored(f"{less} characters of thought with effort none, {more} without")
    return ok(f"{less} characters of thought instead of {more}")
