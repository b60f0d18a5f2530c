"""Request parameters: honoured, or said not to be. What a model says is judged against what it said itself."""

from __future__ import annotations

import itertools
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Ended,
    Finding,
    fail,
    ignored,
    in_area,
    inconclusive,
    ok,
    unsupported,
    verdict,
)  # fmt: skip
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count, is_number, kind, short
from llmserve.probe.judging import clean, refused, taken
from llmserve.probe.needs import need

check = in_area("parameters", needs=("chat",))

LONG = 24
FREE = "Write a few words about whatever you like."
TIE = 1e-3
"""Two logprobs nearer than this are equal: servers round."""


# --- how long


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
    "param.n.usage", "Several choices are all counted", FEATURE,
    expects="the prompt is counted once, the answers together", source="spec CompletionUsage",
)  # fmt: skip
def n_usage(ctx: Context) -> Finding:
    answer, one = _two(ctx), ctx.chat(FREE, tokens=4, temperature=1)
    answer.accepted()
    if len(answer.choices) < 2:
        return inconclusive("there is one choice (see param.n)")
    one.accepted()
    prompt, expected, spent = answer.tokens("prompt"), one.tokens("prompt"), answer.tokens("completion")
    cut = all(dig(choice, "finish_reason") == "length" for choice in answer.choices)
    holds = prompt == expected and (not cut or spent >= 8)
    return verdict(holds, saw=f"prompt_tokens {prompt} (alone {expected}), completion_tokens {spent} for 2 times 4")


@check(
    "param.n.stream", "Several choices are told apart in a stream", BREAKS, requests=3, tokens=24, needs=("stream",),
    rows=("s38_n2_order",),
    expects="pieces of both indexes, that of 0 first, each with one finish_reason",
    source="measured s38: openai-python raises IndexError where 1 comes first",
)  # fmt: skip
def n_stream(ctx: Context) -> Finding:
    if len(_two(ctx).choices) < 2:
        return inconclusive("there is one choice (see param.n)")
    for again in range(3):  # which comes first may be a matter of chance
        answer = ctx.chat_stream(FREE, tokens=4, temperature=1, n=2, again=again)
        answer.streamed()
        order = [dig(choice, "index") for chunk in answer.chunks for choice in chunk.choices]
        finishes = [len(answer.finishes(index)) for index in (0, 1)]
        if order[:1] != [0] or set(order) != {0, 1} or finishes != [1, 1]:
            return fail(f"indexes in order {short(order, 60)}; finish_reasons {finishes}")
    return ok("0 comes first, both end")


def _two(ctx: Context) -> Answer:
    return ctx.chat(FREE, tokens=4, temperature=1, n=2)


# --- where to stop


def _greedy(ctx: Context) -> str:
    return ctx.chat(tokens=LONG).text


def _stop_in(ctx: Context, size: int) -> tuple[str, str]:
    """A greedy text, and a piece of its middle that is plain and first occurs there."""
    text = _greedy(ctx)
    middle = max(1, len(text) // 4)
    for start in itertools.chain(range(middle, len(text) - size), range(1, middle)):
        word = text[start : start + size]
        plain = word.isascii() and word.isprintable() and word == word.strip() and len(word) == size
        if plain and text.find(word) == start and "\ufffd" not in text[: start + size]:
            return text, word
    raise Ended(inconclusive(f"the model's text has no piece to stop at: {short(text, 60)!r}"))


def _cut_at(text: str, answer: Answer, word: str) -> Finding:
    expected = text[: text.find(word)]
    if answer.text.rstrip() == expected.rstrip():
        return verdict(answer.finish == "stop", saw=f"cut, finish_reason {short(answer.finish)}", expected="stop")
    if answer.text == text:
        return ignored(f"{word!r} stands in the answer, which goes on")
    if word in answer.text:
        return fail(f"{word!r} itself stands in the answer: {short(answer.text, 60)!r}")
    if not expected.startswith(answer.text[:3]):
        return inconclusive(f"another text came: {short(answer.text, 60)!r}")
    return fail(f"{short(answer.text, 60)!r} instead of {short(expected, 60)!r}")


@check(
    "param.stop", "stop ends the answer", FEATURE, needs=("greedy",), requests=1, tokens=LONG, alone=True,
    expects="the text before the stop sequence, without it, finish_reason stop", source="spec StopConfiguration",
)  # fmt: skip
def stop(ctx: Context) -> Finding:
    text, word = _stop_in(ctx, 3)
    answer = ctx.chat(tokens=LONG, stop=[word])
    answer.accepted()
    return _cut_at(text, answer, word)


@check(
    "param.stop.string", "stop may be one string", FEATURE, needs=("greedy",), requests=1, tokens=LONG, alone=True,
    expects="the same as with a list of one", source="spec: string, array or null",
)  # fmt: skip
def stop_string(ctx: Context) -> Finding:
    text, word = _stop_in(ctx, 3)
    answer = ctx.chat(tokens=LONG, stop=word)
    answer.accepted(refusal="fail")
    return _cut_at(text, answer, word)


@check(
    "param.stop.stream", "A stream never shows a part of the stop sequence", FEATURE, needs=("greedy", "stream"),
    requests=1, tokens=LONG, alone=True,
    expects="the text before the stop sequence, which spans several tokens", source="detokenisers must hold back",
)  # fmt: skip
def stop_stream(ctx: Context) -> Finding:
    text, word = _stop_in(ctx, 6)
    answer = ctx.chat_stream(tokens=LONG, stop=[word])
    answer.streamed()
    return _cut_at(text, answer, word)


@check(
    "param.stop.four", "Four stop sequences are taken", COSMETIC, requests=1, tokens=8,
    expects="200", source="spec: up to 4 sequences",
)  # fmt: skip
def stop_four(ctx: Context) -> Finding:
    return taken(ctx.chat(stop=["<a1>", "<b2>", "<c3>", "<d4>"]), "a list of four")


@check(
    "param.stop.last", "Any of several stop sequences ends the answer", FEATURE, needs=("greedy",), requests=1,
    tokens=LONG, alone=True,
    expects="the second of two sequences is heeded like the first", source="spec: up to 4 sequences",
)  # fmt: skip
def stop_last(ctx: Context) -> Finding:
    text, word = _stop_in(ctx, 3)
    answer = ctx.chat(tokens=LONG, stop=["<nowhere>", word])
    answer.accepted()
    return _cut_at(text, answer, word)


@check(
    "param.stop.first", "The first of several stop sequences ends the answer too", FEATURE, needs=("greedy",),
    requests=1, tokens=LONG, alone=True,
    expects="the first of two sequences is heeded like the second", source="spec: up to 4 sequences",
)  # fmt: skip
def stop_first(ctx: Context) -> Finding:
    text, word = _stop_in(ctx, 3)
    answer = ctx.chat(tokens=LONG, stop=[word, "<nowhere>"])
    answer.accepted()
    return _cut_at(text, answer, word)


@check(
    "param.stop.unicode", "A stop sequence may be of any script", COSMETIC, requests=1, tokens=8,
    expects="200", source="spec: string",
)  # fmt: skip
def stop_unicode(ctx: Context) -> Finding:
    return taken(ctx.chat(stop=["終わり", "😀"]), "an emoji")


# --- chance


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
    tokens = _logprobs(answer)
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
    if first != second:
        return ignored(f"{short(first, 40)!r}, then {short(second, 40)!r} with one seed")
    if first in others:
        return inconclusive("all seeds bring one text: the model leaves nothing to chance")
    return ok("same, same, different")


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
    tokens = _logprobs(answer)
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


def verdict_or_ignored(holds: bool, saw: str) -> Finding:
    return ok("it has") if holds else ignored(saw)


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


# --- logprobs


def _logprobs(answer: Answer) -> list[Any]:
    return as_list(dig(answer.choice, "logprobs", "content"))


@need("logprobs", needs=("chat",), requests=1)
def logprobs(ctx: Context) -> Finding | None:
    """Logprobs are given when asked for."""
    answer = ctx.chat(logprobs=True, top_logprobs=3)
    if not answer.is_ok:
        found = answer.unaccepted()
        return unsupported(found.saw) if found.verdict == "unsupported" else inconclusive(found.saw)
    return None if _logprobs(answer) else inconclusive("no logprobs are given (see param.logprobs)")


@check(
    "param.logprobs", "logprobs are given when asked for", FEATURE, requests=1, tokens=8,
    expects="choices[0].logprobs.content with one entry for each token", source="spec; vllm#4795",
    rows=("n14_logprobs_legacy",),
)  # fmt: skip
def logprobs_given(ctx: Context) -> Finding:
    answer = ctx.chat(logprobs=True, top_logprobs=3)
    answer.accepted()
    found = dig(answer.choice, "logprobs")
    if not found:
        return ignored(f"logprobs is {kind(found)}")
    if "content" not in as_dict(found):
        return fail(f"the shape of old completions: {', '.join(as_dict(found))}", rows=("n14_logprobs_legacy",))
    if not answer.text and not _logprobs(answer):
        return inconclusive("no text and no entries: all tokens were thoughts, or none was made")
    return verdict(bool(_logprobs(answer)), saw=f"{len(_logprobs(answer))} entries")


@check(
    "param.logprobs.count", "There is a logprob for every token", FEATURE, needs=("logprobs", "usage"),
    expects="as many entries as completion_tokens (one fewer where the end is no token)", source="spec",
)  # fmt: skip
def logprobs_count(ctx: Context) -> Finding:
    answer = ctx.chat(logprobs=True, top_logprobs=3)
    entries, used = len(_logprobs(answer)), answer.tokens("completion")
    return verdict(0 <= used - entries <= 1, saw=f"{entries} entries, {used} tokens")


@check(
    "param.logprobs.values", "Logprobs are logprobs", FEATURE, needs=("logprobs",),
    expects="every logprob is a finite number up to 0", source="spec",
)  # fmt: skip
def logprobs_values(ctx: Context) -> Finding:
    values = [dig(token, "logprob") for token in _logprobs(ctx.chat(logprobs=True, top_logprobs=3))]
    wrong = [value for value in values if not is_number(value) or value > TIE]
    return verdict(not wrong, saw=f"a logprob is {short(wrong[0], 40)}" if wrong else f"{len(values)} values")


@check(
    "param.logprobs.keys", "A logprob has all its parts", FEATURE, needs=("logprobs",), rows=("n14b_logprobs_notop",),
    expects="token, logprob, bytes (a list or null) and top_logprobs (a list)",
    source="spec, all required; measured n14b",
)  # fmt: skip
def logprobs_keys(ctx: Context) -> Finding:
    tokens = _logprobs(ctx.chat(logprobs=True, top_logprobs=3))
    wrong = next((kind_ for token in tokens if (kind_ := _lacks(token))), "")
    return verdict(not wrong, saw=wrong or "all are there")


def _lacks(token: Any) -> str:
    if not isinstance(dig(token, "token"), str):
        return f"token is {kind(dig(token, 'token'))}"
    if dig(token, "bytes") is not None and not isinstance(dig(token, "bytes"), list):
        return f"bytes is {kind(dig(token, 'bytes'))}"
    if not isinstance(dig(token, "top_logprobs"), list):
        return f"top_logprobs is {kind(dig(token, 'top_logprobs'))}"
    return ""


@check(
    "param.logprobs.top", "top_logprobs brings so many alternatives", FEATURE, needs=("logprobs",),
    expects="up to 3 for each token, one at least, the likeliest first", source="spec",
)  # fmt: skip
def logprobs_top(ctx: Context) -> Finding:
    lists = [as_list(dig(token, "top_logprobs")) for token in _logprobs(ctx.chat(logprobs=True, top_logprobs=3))]
    if not any(lists):
        return ignored("no alternatives for top_logprobs 3")
    counts = sorted({len(one) for one in lists})
    values = [[dig(one, "logprob") for one in tops] for tops in lists]
    sorted_ = all(_falling(one) for one in values)
    return verdict(counts[-1] <= 3 and sorted_, saw=f"{counts} for each, {'' if sorted_ else 'not '}falling")


def _falling(values: list[Any]) -> bool:
    return all(not is_number(a) or not is_number(b) or a >= b - TIE for a, b in itertools.pairwise(values))


@check(
    "param.logprobs.text", "The tokens are the text", FEATURE, needs=("logprobs",),
    expects="the bytes of all tokens put together are the content", source="spec: bytes",
)  # fmt: skip
def logprobs_text(ctx: Context) -> Finding:
    answer = ctx.chat(logprobs=True, top_logprobs=3)
    tokens, content = _logprobs(answer), dig(answer.message, "content")
    if not isinstance(content, str):
        return inconclusive("there is no content to compare with")
    lists = [dig(token, "bytes") for token in tokens]
    if not all(isinstance(one, list) and all(is_count(value) and value < 256 for value in one) for one in lists):
        return inconclusive("not every token has bytes")
    text = b"".join(bytes(one) for one in lists).decode("utf-8", "replace")
    joined = text.startswith(content.rstrip()) if len(text) >= len(content) else content.startswith(text)
    lenient = text.replace("\ufffd", "").strip() in ("", content.replace("\ufffd", "").strip())
    return verdict(joined or lenient, saw=f"{short(text, 50)!r} for {short(content, 50)!r}")


@check(
    "param.logprobs.without_top", "logprobs without top_logprobs", FEATURE, needs=("logprobs",), requests=1, tokens=8,
    expects="entries with an empty list of alternatives", source="spec; vllm#4795: none unless top_logprobs was set",
)  # fmt: skip
def logprobs_alone(ctx: Context) -> Finding:
    answer = ctx.chat(logprobs=True)
    answer.accepted()
    return verdict_or_ignored(bool(_logprobs(answer)), "no entries without top_logprobs")


@check(
    "param.logprobs.limit", "More than 20 alternatives are refused", COSMETIC, needs=("logprobs",), requests=1,
    tokens=8, expects="4xx for top_logprobs 21", source="spec: 0 to 20",
)  # fmt: skip
def logprobs_limit(ctx: Context) -> Finding:
    return refused(ctx.chat(logprobs=True, top_logprobs=21), accepted="ignored", what="top_logprobs 21")


@check(
    "param.logprobs.top_alone", "top_logprobs without logprobs is refused", COSMETIC, needs=("logprobs",), requests=1,
    tokens=8, expects="4xx", source="spec: logprobs must be true",
)  # fmt: skip
def logprobs_top_alone(ctx: Context) -> Finding:
    return refused(ctx.chat(top_logprobs=2), accepted="ignored", what="top_logprobs alone")


@check(
    "param.logprobs.stream", "A stream brings the same logprobs", FEATURE, needs=("logprobs", "stream", "greedy"),
    requests=1, tokens=8, alone=True,
    expects="the entries of all chunks are those of the plain answer", source="spec; litellm#4898: dropped in streams",
)  # fmt: skip
def logprobs_stream(ctx: Context) -> Finding:
    plain = [dig(token, "token") for token in _logprobs(ctx.chat(logprobs=True, top_logprobs=3))]
    answer = ctx.chat_stream(logprobs=True, top_logprobs=3)
    answer.streamed()
    lists = [as_list(dig(piece, "logprobs", "content")) for piece in answer.of_choice()]
    streamed = [dig(token, "token") for one in lists for token in one]
    if not streamed:
        return ignored("no logprobs in the stream")
    same = streamed == plain or (
        plain[: len(streamed)] == streamed[: len(plain)] and abs(len(plain) - len(streamed)) <= 1
    )
    return verdict(same, saw=f"{len(streamed)} entries, {len(plain)} without streaming")


# --- others


@check(
    "param.response_format.text", "response_format text changes nothing", FEATURE, requests=1, tokens=8,
    expects="200", source="spec: the default",
)  # fmt: skip
def format_text(ctx: Context) -> Finding:
    return taken(ctx.chat(response_format={"type": "text"}), "response_format text")


@check(
    "param.stream.false", "stream may be said to be false", BREAKS, requests=1, tokens=8, quick=True,
    expects="a plain JSON answer", source="spec: the default; many clients send it",
)  # fmt: skip
def stream_false(ctx: Context) -> Finding:
    answer = ctx.chat(stream=False)
    answer.accepted(refusal="fail")
    return verdict(bool(answer.choices), saw=f"{answer.header('content-type')}, {len(answer.choices)} choice")


@check(
    "param.reasoning_effort", "reasoning_effort is taken or refused", FEATURE, requests=1, tokens=8,
    expects="200 or a 4xx, no 5xx", source="spec ReasoningEffort; agents send it to every model",
)  # fmt: skip
def reasoning_effort(ctx: Context) -> Finding:
    return clean(ctx.chat(reasoning_effort="low"), "reasoning_effort low")


@check(
    "param.modalities.audio", "Speech that cannot be made is refused", COSMETIC, requests=1, tokens=8,
    expects="a 4xx, or audio", source="spec ResponseModalities",
)  # fmt: skip
def audio(ctx: Context) -> Finding:
    answer = ctx.chat(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"})
    if answer.is_ok and dig(answer.message, "audio", "data"):
        return ok("audio")
    return refused(answer, accepted="ignored", what="audio without any coming")


@check(
    "param.prediction", "A prediction is taken or refused", COSMETIC, requests=1, tokens=8,
    expects="200 or a 4xx", source="spec PredictionContent",
)  # fmt: skip
def prediction(ctx: Context) -> Finding:
    return clean(ctx.chat(prediction={"type": "content", "content": "one two three"}), "a prediction")


@check(
    "param.prompt_cache", "A repeated prompt is seen to be cached", COSMETIC, requests=2, tokens=2, alone=True,
    expects="report only: prompt_tokens_details.cached_tokens of the second time", source="spec PromptTokensDetails",
)  # fmt: skip
def prompt_cache(ctx: Context) -> Finding:
    prompt = "The quick brown fox jumps over the lazy dog. " * 20
    ctx.chat(prompt, tokens=1), (answer := ctx.chat(prompt, tokens=1, again=1))
    answer.accepted()
    found = dig(answer.usage, "prompt_tokens_details", "cached_tokens")
    return ok(f"{found} of {answer.usage.get('prompt_tokens')} tokens" if is_count(found) else "not said")


@check(
    "param.default.limit", "Without a limit an answer is not cut at once", FEATURE, requests=1, tokens=64, alone=True,
    needs=("stream",),
    expects="more than 16 tokens where the model goes on", source="spec: no default limit in chat; old default of 16",
)  # fmt: skip
def default_limit(ctx: Context) -> Finding:
    from dataclasses import replace

    body = ctx.chat_body("Count from one to a thousand in words.", None, stream=True)
    made = ctx.stream("/chat/completions", body, limits=replace(ctx.session.limits, first_pieces=40))
    pieces = sum(bool(as_dict(piece.get("delta")).get("content")) for piece in made.of_choice())
    if made.finish == "length" and pieces <= 17:
        return fail(f"cut for its length after {pieces} pieces")
    return ok(f"{pieces} pieces and more") if made.finish != "stop" else ok(f"it ended by itself after {pieces} pieces")
