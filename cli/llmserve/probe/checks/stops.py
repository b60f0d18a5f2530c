"""Where an answer stops: judged against what the model said without a stop sequence."""

from __future__ import annotations

import itertools

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    COSMETIC,
    FEATURE,
    Ended,
    Finding,
    fail,
    ignored,
    in_area,
    inconclusive,
    verdict,
)
from llmserve.probe.checks.parameters import LONG
from llmserve.probe.context import Context
from llmserve.probe.dig import short
from llmserve.probe.judging import taken

check = in_area("parameters", needs=("chat",))


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
