"""Temperature, seeds, top_p, penalties and biases: chance, and what bends it."""

from __future__ import annotations

from typing import Any

from llmserve.probe.check import (
    COSMETIC,
    FEATURE,
    Finding,
    ignored,
    in_area,
    inconclusive,
    ok,
    unsupported,
    verdict,
)
from llmserve.probe.checks.logprobs import TIE, entries
from llmserve.probe.checks.parameters import FREE, LONG, verdict_or_ignored
from llmserve.probe.context import Context
from llmserve.probe.dig import as_list, dig, is_number, short
from llmserve.probe.judging import refused, taken

check = in_area("parameters", needs=("chat",))


@check(
    "param.temperature.zero", "The same question has the same answer at temperature 0", FEATURE, needs=("chat",),
    alone=True, expects="equal texts", source="tests and caches rely on it",
)  # fmt: skip
def greedy_repeat(ctx: Context) -> Finding:
    if not ctx.facts.sampling:
        return unsupported("temperature is refused")
    first, second = ctx.chat(tokens=LONG), ctx.chat(tokens=LONG, again=1)
    if first.text == second.text:
        return ok(short(first.text, 60))
    return inconclusive(f"{short(first.text, 60)!r}, then {short(second.text, 60)!r}: rounding, or chance")


@check(
    "param.temperature.greedy", "At temperature 0 the likeliest token is chosen", FEATURE, needs=("logprobs",),
    requests=1, tokens=8, alone=True,
    expects="every token chosen at temperature 0 has the highest logprob", source="spec; an oracle that knows no text",
)  # fmt: skip
def greedy_likeliest(ctx: Context) -> Finding:
    answer = ctx.chat(FREE, temperature=0, logprobs=True, top_logprobs=5)
    answer.accepted()
    tokens = entries(answer)
    if not any(as_list(dig(token, "top_logprobs")) for token in tokens):
        return inconclusive("there are no top_logprobs to judge by")
    below = [token for token in tokens if not _is_likeliest(token)]
    return verdict_or_ignored(not below, f"{len(below)} of {len(tokens)} tokens were not the likeliest")


@check(
    "param.temperature.bounds", "Temperatures 0 and 2 are taken", FEATURE, requests=1, tokens=8,
    expects="200", source="spec: 0 to 2",
)  # fmt: skip
def temperature_bounds(ctx: Context) -> Finding:
    answer = ctx.chat(temperature=2)
    if answer.is_refused and not ctx.facts.sampling:
        return unsupported(answer.brief())
    return taken(answer, "temperature 2")


@check(
    "param.temperature.effect", "A temperature has an effect", FEATURE, needs=("greedy",), requests=3, tokens=3 * LONG,
    alone=True, expects="three answers at temperature 2 are not all equal", source="spec",
)  # fmt: skip
def temperature_effect(ctx: Context) -> Finding:
    texts = [_free(ctx, temperature=2, again=again) for again in range(3)]
    return verdict_or_ignored(len(set(texts)) > 1, f"three times {short(texts[0], 60)!r}")


@check(
    "param.seed", "A seed makes chance repeatable", FEATURE, needs=("greedy",), requests=4, tokens=4 * LONG, alone=True,
    expects="seed 7 twice brings the same text at temperature 1, seeds 8 and 9 others",
    source="spec (deprecated there)",
)  # fmt: skip
def seed(ctx: Context) -> Finding:
    first, second = (_free(ctx, temperature=1, seed=7, again=again) for again in (0, 1))
    others = [_free(ctx, temperature=1, seed=other) for other in (8, 9)]
    return _repeatable(first, second, others, "one seed")


def _repeatable(first: str, second: str, others: list[str], what: str) -> Finding:
    if first != second:
        return ignored(f"{short(first, 40)!r}, then {short(second, 40)!r} with {what}")
    if first in others:
        return inconclusive("all seeds bring one text: the model leaves nothing to chance")
    return ok("same, same, different")


@check(
    "param.seed.zero", "A seed of 0 is a seed", COSMETIC, needs=("greedy",), requests=2, tokens=2 * LONG, alone=True,
    expects="seed 0 twice brings the same text at temperature 1", source="spec: any integer; 0 is no absence",
)  # fmt: skip
def seed_zero(ctx: Context) -> Finding:
    first, second = (_free(ctx, temperature=1, seed=0, again=again) for again in (0, 1))
    return _repeatable(first, second, [_free(ctx, temperature=1, seed=8)], "seed 0")


@check(
    "param.seed.stream", "A seed counts in streams too", FEATURE, needs=("greedy", "stream"), requests=2,
    tokens=2 * LONG, alone=True,
    expects="seed 7 twice brings the same stream at temperature 1", source="spec; one API, two ways",
)  # fmt: skip
def seed_stream(ctx: Context) -> Finding:
    made = [ctx.chat_stream(FREE, tokens=LONG, temperature=1, seed=7, again=again) for again in (0, 1)]
    for answer in made:
        answer.streamed()
    return _repeatable(made[0].text, made[1].text, [_free(ctx, temperature=1, seed=8)], "seed 7, streamed,")


@check(
    "param.seed.bounds", "Seeds may be any 64-bit number", COSMETIC, requests=2, tokens=16,
    expects="200 for -1 and 2^63-1", source="spec: int64",
)  # fmt: skip
def seed_bounds(ctx: Context) -> Finding:
    for value in (-1, 2**63 - 1):
        answer = ctx.chat(seed=value)
        if not answer.is_ok:
            return taken(answer, f"seed {value}")
    return ok("200")


@check(
    "param.top_p", "A tiny top_p leaves the likeliest token", FEATURE, needs=("logprobs",), requests=1, tokens=8,
    alone=True,
    expects="every token chosen at temperature 1.5 and top_p 1e-6 has the highest logprob", source="spec: nucleus",
)  # fmt: skip
def top_p(ctx: Context) -> Finding:
    answer = ctx.chat(FREE, temperature=1.5, top_p=1e-6, logprobs=True, top_logprobs=5)
    answer.accepted()
    tokens = entries(answer)
    below = [token for token in tokens if not _is_likeliest(token)]
    if not tokens or not any(as_list(dig(token, "top_logprobs")) for token in tokens):
        return inconclusive("there are no top_logprobs to judge by")
    return verdict_or_ignored(not below, f"{len(below)} of {len(tokens)} tokens were not the likeliest")


def _is_likeliest(token: Any) -> bool:
    best = [dig(one, "logprob") for one in as_list(dig(token, "top_logprobs"))]
    best = [value for value in best if is_number(value)]
    chosen = dig(token, "logprob")
    return not best or not is_number(chosen) or chosen >= max(best) - TIE


def _free(ctx: Context, *, again: int = 0, **fields: Any) -> str:
    answer = ctx.chat(FREE, tokens=LONG, again=again, **fields)
    answer.accepted()
    return answer.text


def _penalty(name: str, value: float) -> Any:
    @check(
        f"param.{name}", f"{name} makes repetition rarer", FEATURE, needs=("greedy",), requests=1, tokens=48,
        alone=True, expects="a greedy text that repeats itself changes", source="spec: -2 to 2",
    )  # fmt: skip
    def penalised(ctx: Context) -> Finding:
        plain = ctx.chat(tokens=48)
        fields: dict[str, Any] = {name: value}
        answer = ctx.chat(tokens=48, **fields)
        answer.accepted()
        if answer.text != plain.text:
            return ok("the text changes")
        if not _repeats(plain.text):
            return inconclusive("the model does not repeat itself, so nothing had to change")
        if plain.text and len(set(plain.text)) < len(plain.text) / 4:
            return ignored(f"the same text, which repeats itself: {short(plain.text, 60)!r}")
        return inconclusive("the same text: the penalty may be too weak for this model")

    return penalised


def _repeats(text: str) -> bool:
    words = text.split()
    return len(set(words)) < len(words) or any(text.count(text[i : i + 4]) > 1 for i in range(len(text) - 4))


frequency_penalty = _penalty("frequency_penalty", 2.0)
presence_penalty = _penalty("presence_penalty", 2.0)


# --- biases


@check(
    "param.logit_bias", "logit_bias decides the token", FEATURE, requests=2, tokens=6,
    expects="+100 on one token id brings that token alone, on another id another",
    source="spec; no tokenizer is needed (measured on random weights); MTPLX#191",
)  # fmt: skip
def logit_bias(ctx: Context) -> Finding:
    texts = _biased(ctx)
    plain = ctx.chat(tokens=3).text
    if not any((*texts, plain)):
        return inconclusive("no text to see an effect in: three tokens were all thoughts")
    if texts[0] == texts[1] == plain:
        return ignored(f"the same text with and without: {short(plain, 40)!r}")
    return verdict(texts[0] != texts[1], saw=f"{short(texts[0], 40)!r} and {short(texts[1], 40)!r}")


def _biased(ctx: Context) -> list[str]:
    answers = [ctx.chat(tokens=3, logit_bias={token: 100}) for token in ("100", "200")]
    for answer in answers:
        answer.accepted()
    return [answer.text for answer in answers]


@check(
    "param.logit_bias.only", "The greatest bias leaves no other token", FEATURE,
    expects="three times the same token for +100", source="spec: 100 should result in exclusive selection",
)  # fmt: skip
def bias_only(ctx: Context) -> Finding:
    texts, plain = _biased(ctx), ctx.chat(tokens=3).text
    if plain in texts or not all(texts):
        return inconclusive("there is no effect to see (see param.logit_bias)")
    mixed = [text for text in texts if not _is_thrice(text)]
    return verdict(not mixed, saw=short(repr(mixed[0] if mixed else texts[0]), 60))


def _is_thrice(text: str) -> bool:
    """Whether a text is one token three times over, whose spaces and halves of characters a server may have trimmed."""
    whole = "".join(text.split())
    third = whole[: len(whole) // 3]
    return "\ufffd" in whole or len(whole) < 3 or whole == third * 3


@check(
    "param.logit_bias.bad", "A token that does not exist is refused", COSMETIC, requests=1, tokens=8,
    expects="4xx for a bias on no number, no 5xx", source="vLLM test_chat_logit_bias_validation",
)  # fmt: skip
def bad_bias(ctx: Context) -> Finding:
    return refused(ctx.chat(logit_bias={"no-number": 1}), accepted="ignored", what="a bias on no number")


@check(
    "param.logit_bias.range", "A bias beyond 100 is refused", COSMETIC, requests=1, tokens=8,
    expects="4xx for a bias of 500", source="spec: -100 to 100",
)  # fmt: skip
def bias_range(ctx: Context) -> Finding:
    return refused(ctx.chat(logit_bias={"100": 500}), accepted="ignored", what="a bias of 500")
