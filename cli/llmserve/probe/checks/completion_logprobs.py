"""Log-probabilities of text completions: what scoring harnesses live on."""

from __future__ import annotations

import math
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import COSMETIC, FEATURE, Ended, Finding, fail, ignored, in_area, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, is_number, short

check = in_area("completions", needs=("completions",))

LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def _asked(ctx: Context) -> Answer:
    answer = ctx.completion(logprobs=2)
    answer.accepted()
    return answer


def _lists(answer: Answer) -> dict[str, list[Any]]:
    """The parallel lists of the first choice, or the end of the check."""
    found = as_dict(answer.choice.get("logprobs"))
    if not found:
        raise Ended(ignored(f"logprobs are {short(repr(answer.choice.get('logprobs')), 40)}"))
    missing = [name for name in LISTS if not isinstance(found.get(name), list)]
    if missing:
        raise Ended(fail(f"logprobs lack {', '.join(missing)}; there are {short(repr(list(found)), 60)}"))
    return {name: as_list(found[name]) for name in LISTS}


@check(
    "completions.logprobs", "Logprobs come in four lists of one length", FEATURE, requests=1, tokens=8,
    expects="tokens, token_logprobs, top_logprobs, text_offset, each as long as the answer", source="llama.cpp#11346",
)  # fmt: skip
def logprobs(ctx: Context) -> Finding:
    answer = _asked(ctx)
    sizes = {name: len(values) for name, values in _lists(answer).items()}
    said = answer.usage.get("completion_tokens")
    return verdict(len(set(sizes.values())) == 1 and sizes["tokens"] in (said, None), saw=f"{sizes}, {said} tokens")


@check(
    "completions.logprob_values", "Logprobs are logarithms", FEATURE, expects="finite numbers, none above 0",
    source="spec; measured n14c",
)  # fmt: skip
def values(ctx: Context) -> Finding:
    found = _lists(_asked(ctx))["token_logprobs"]
    return verdict(bool(found) and all(is_number(one) and one <= 1e-6 for one in found), saw=short(repr(found), 100))


@check(
    "completions.logprob_tokens", "The tokens are those of the text", FEATURE,
    expects="tokens join to the text", source="spec",
)  # fmt: skip
def tokens(ctx: Context) -> Finding:
    answer = _asked(ctx)
    found = _lists(answer)["tokens"]
    joined = "".join(one for one in found if isinstance(one, str))
    if "�" in joined or any(str(one).startswith(("bytes:", "token_id:")) for one in found):
        return inconclusive("tokens that are parts of characters")
    return verdict(
        joined.strip() == answer.text.strip(), saw=f"tokens {short(joined, 40)!r}, text {short(answer.text, 40)!r}"
    )


@check(
    "completions.logprob_top", "The best tokens are given", FEATURE,
    expects="two (or three, with the chosen one) for each token; greedy chooses the best", source="spec logprobs",
)  # fmt: skip
def top(ctx: Context) -> Finding:
    lists = _lists(_asked(ctx))
    for best, chosen in zip(lists["top_logprobs"], lists["token_logprobs"], strict=False):
        numbers = [value for value in as_dict(best).values() if is_number(value)]
        if not 1 <= len(numbers) <= 3 or len(numbers) != len(as_dict(best)):
            return fail(f"logprobs=2 brings {short(repr(best), 80)}")
        if is_number(chosen) and not math.isclose(max(numbers), chosen, abs_tol=0.02):
            return fail(f"the greedy token has {chosen}, the best {max(numbers)}")
    return ok("they are")


@check(
    "completions.logprob_offsets", "Offsets point into the text", COSMETIC,
    expects="offsets that grow with the tokens", source="vLLM test_completion_text_offset",
)  # fmt: skip
def offsets(ctx: Context) -> Finding:
    lists = _lists(_asked(ctx))
    at = 0
    for offset, token in zip(lists["text_offset"], lists["tokens"], strict=False):
        if "�" in str(token):
            return inconclusive("tokens that are parts of characters")
        if offset != at + lists["text_offset"][0]:
            return fail(f"offsets {short(repr(lists['text_offset']), 60)} for {short(repr(lists['tokens']), 60)}")
        at += len(str(token))
    return ok("they do")


@check(
    "completions.echo_logprobs", "echo with logprobs scores the prompt", FEATURE, requests=1, tokens=1,
    needs=("completions",), expects="one logprob for each prompt token, the first null",
    source="llama.cpp#27174, lm-evaluation-harness#2982",
)  # fmt: skip
def echo_logprobs(ctx: Context) -> Finding:
    answer = ctx.completion([10, 11, 12, 13], tokens=0, echo=True, logprobs=1)
    if answer.is_refused:
        answer = ctx.completion([10, 11, 12, 13], tokens=1, echo=True, logprobs=1)
    answer.accepted()
    found = _lists(answer)["token_logprobs"]
    if len(found) < 4:
        return ignored(f"{len(found)} logprobs for 4 prompt tokens")
    right = found[0] is None and all(is_number(one) and one <= 1e-6 for one in found[1:])
    return verdict(right and len(found) <= 5, saw=short(repr(found), 80))


@check(
    "completions.no_logprobs", "Unasked, logprobs are null", COSMETIC, expects="logprobs null or absent", source="spec",
)  # fmt: skip
def unasked(ctx: Context) -> Finding:
    found = ctx.completion().choice.get("logprobs")
    return verdict(found is None, saw=f"logprobs are {short(repr(found), 60)}")
