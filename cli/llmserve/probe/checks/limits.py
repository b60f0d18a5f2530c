"""How long an answer may be, and how many there are."""

from __future__ import annotations

from dataclasses import replace

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Finding,
    fail,
    ignored,
    in_area,
    inconclusive,
    ok,
    verdict,
)
from llmserve.probe.checks.parameters import FREE, LONG
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, dig, short
from llmserve.probe.judging import clean

check = in_area("parameters", needs=("chat",))

TURNS = 6
"""So often is asked again where chance may have hidden a fault."""


def _limited(answer: Answer, most: int, name: str) -> Finding:
    answer.accepted()
    used = answer.tokens("completion")
    return ok(f"{used} tokens") if used <= most else ignored(f"{used} tokens in spite of {name} {most}")


@check(
    "param.max_tokens", "max_tokens limits the answer", BREAKS, requests=1, tokens=2, quick=True, needs=("usage",),
    expects="completion_tokens is no more than max_tokens", source="spec (deprecated there, sent by most)",
)  # fmt: skip
def max_tokens(ctx: Context) -> Finding:
    return _limited(ctx.chat(tokens=None, max_tokens=2), 2, "max_tokens")


@check(
    "param.max_completion_tokens", "max_completion_tokens limits the answer", BREAKS, requests=1, tokens=2, quick=True,
    needs=("usage",),
    expects="completion_tokens is no more than max_completion_tokens",
    source="spec; LangChain sends only this one (recorded); tokasaurus#7",
)  # fmt: skip
def max_completion_tokens(ctx: Context) -> Finding:
    return _limited(ctx.chat(tokens=None, max_completion_tokens=2), 2, "max_completion_tokens")


@check(
    "param.max_tokens.both", "Of two limits the smaller counts, or both are refused", COSMETIC, requests=1, tokens=2,
    needs=("usage",),
    expects="2 tokens for max_tokens 40 and max_completion_tokens 2, or a 4xx", source="spec",
)  # fmt: skip
def both_limits(ctx: Context) -> Finding:
    answer = ctx.chat(tokens=None, max_tokens=40, max_completion_tokens=2)
    return ok(answer.brief()) if answer.is_refused else _limited(answer, 2, "max_completion_tokens")


@check(
    "param.max_tokens.zero", "A limit of 0 does not hang", COSMETIC, requests=1, tokens=8,
    expects="a 4xx, or an answer of no or few tokens", source="spec",
)  # fmt: skip
def zero_limit(ctx: Context) -> Finding:
    return clean(ctx.chat(tokens=0), "a limit of 0")


@check(
    "param.max_tokens.stream", "A stream is limited too", FEATURE, requests=1, tokens=2, needs=("stream",),
    expects="no more than 2 content events for 2 tokens, and finish_reason length", source="spec",
)  # fmt: skip
def stream_limit(ctx: Context) -> Finding:
    answer = ctx.chat_stream(tokens=2)
    answer.streamed()
    pieces = [piece for piece in answer.of_choice() if as_dict(piece.get("delta")).get("content")]
    return verdict(len(pieces) <= 3, saw=f"{len(pieces)} content events, finish_reason {short(answer.finish)}")


# --- how many


@check(
    "param.n", "n brings so many choices", FEATURE, requests=1, tokens=8,
    expects="two choices with indexes 0 and 1 for n=2, or a 4xx",
    source="spec; llama-cpp-python#1906, lmdeploy#4073: one choice, 200",
)  # fmt: skip
def n_two(ctx: Context) -> Finding:
    answer = _two(ctx)
    answer.accepted()
    if len(answer.choices) == 1:
        return ignored("one choice for n=2")
    indexes = sorted(str(dig(choice, "index")) for choice in answer.choices)
    return verdict(indexes == ["0", "1"], saw=f"indexes {', '.join(indexes)}")


@check(
    "param.n.three", "n brings three choices as well", FEATURE, requests=1, tokens=12,
    expects="three choices for n=3, where n=2 brings two, or a 4xx", source="spec: 1 to 128",
)  # fmt: skip
def n_three(ctx: Context) -> Finding:
    if len(_two(ctx).choices) < 2:
        return inconclusive("there is one choice for two (see param.n)")
    answer = ctx.chat(FREE, tokens=4, temperature=1, n=3)
    answer.accepted()
    return verdict(len(answer.choices) == 3, saw=f"{len(answer.choices)} choices for n=3")


@check(
    "param.n.differ", "Several choices are not copies of one", FEATURE, requests=1, tokens=4 * LONG, alone=True,
    expects="four choices at temperature 2 are not all equal", source="spec: n; what it is for",
)  # fmt: skip
def n_differ(ctx: Context) -> Finding:
    if len(_two(ctx).choices) < 2:
        return inconclusive("there is one choice (see param.n)")
    answer = ctx.chat(FREE, tokens=LONG, temperature=2, n=4)
    answer.accepted()
    texts = {str(dig(choice, "message", "content")) for choice in answer.choices}
    if len(texts) > 1:
        return ok(f"{len(texts)} different texts")
    others = {ctx.chat(FREE, tokens=LONG, temperature=2, again=again).text for again in range(3)}
    if len(others) == 1:
        return inconclusive("every answer at temperature 2 is the same: the model leaves nothing to chance")
    return fail(f"{len(answer.choices)} times {short(next(iter(texts)), 40)!r}, though single answers differ")


@check(
    "param.n.usage", "Several choices are all counted", FEATURE, requests=TURNS, tokens=8 * TURNS,
    expects="the prompt is counted once, the answers together", source="spec CompletionUsage",
)  # fmt: skip
def n_usage(ctx: Context) -> Finding:
    one = ctx.chat(FREE, tokens=4, temperature=1)
    one.accepted()
    for again in range(TURNS):
        answer = _two(ctx, again=again)
        answer.accepted()
        if len(answer.choices) < 2:
            return inconclusive("there is one choice (see param.n)")
        if all(dig(choice, "finish_reason") == "length" for choice in answer.choices):
            prompt, expected, spent = answer.tokens("prompt"), one.tokens("prompt"), answer.tokens("completion")
            saw = f"prompt_tokens {prompt} (alone {expected}), completion_tokens {spent} for 2 times 4"
            return verdict(prompt == expected and spent == 8, saw=saw)
    return inconclusive("answers ended by themselves, so what they cost is not known")


@check(
    "param.n.stream", "Several choices are told apart in a stream", BREAKS, requests=TURNS, tokens=8 * TURNS,
    needs=("stream",), rows=("s38_n2_order",),
    expects="pieces of both indexes, that of 0 first, each with one finish_reason",
    source="measured s38: openai-python raises IndexError where 1 comes first",
)  # fmt: skip
def n_stream(ctx: Context) -> Finding:
    if len(_two(ctx).choices) < 2:
        return inconclusive("there is one choice (see param.n)")
    for again in range(TURNS):  # which comes first may be a matter of chance
        answer = ctx.chat_stream(FREE, tokens=4, temperature=1, n=2, again=again)
        answer.streamed()
        order = [dig(choice, "index") for chunk in answer.chunks for choice in chunk.choices]
        finishes = [len(answer.finishes(index)) for index in (0, 1)]
        if order[:1] != [0] or set(order) != {0, 1} or finishes != [1, 1]:
            return fail(f"indexes in order {short(order, 60)}; finish_reasons {finishes}")
    return ok("0 comes first, both end")


def _two(ctx: Context, *, again: int = 0) -> Answer:
    return ctx.chat(FREE, tokens=4, temperature=1, n=2, again=again)


@check(
    "param.default.limit", "Without a limit an answer is not cut at once", FEATURE, requests=1, tokens=64, alone=True,
    needs=("stream",),
    expects="more than 16 tokens where the model goes on", source="spec: no default limit in chat; old default of 16",
)  # fmt: skip
def default_limit(ctx: Context) -> Finding:

    body = ctx.chat_body("Count from one to a thousand in words.", None, stream=True)
    made = ctx.stream("/chat/completions", body, limits=replace(ctx.session.limits, first_pieces=40))
    pieces = sum(bool(as_dict(piece.get("delta")).get("content")) for piece in made.of_choice())
    if made.finish == "length" and pieces <= 17:
        return fail(f"cut for its length after {pieces} pieces")
    return ok(f"{pieces} pieces and more") if made.finish != "stop" else ok(f"it ended by itself after {pieces} pieces")
