"""The logprobs of chat answers."""

from __future__ import annotations

import itertools
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    COSMETIC,
    FEATURE,
    Finding,
    fail,
    ignored,
    in_area,
    inconclusive,
    unsupported,
    verdict,
)
from llmserve.probe.checks.parameters import verdict_or_ignored
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count, is_number, kind, short
from llmserve.probe.judging import refused
from llmserve.probe.needs import need

check = in_area("parameters", needs=("chat",))

TIE = 1e-3
"""Two logprobs nearer than this are equal: servers round."""


def entries(answer: Answer) -> list[Any]:
    return as_list(dig(answer.choice, "logprobs", "content"))


@need("logprobs", needs=("chat",), requests=1)
def logprobs(ctx: Context) -> Finding | None:
    """Logprobs are given when asked for."""
    answer = ctx.chat(logprobs=True, top_logprobs=3)
    if not answer.is_ok:
        found = answer.unaccepted()
        return unsupported(found.saw) if found.verdict == "unsupported" else inconclusive(found.saw)
    return None if entries(answer) else inconclusive("no logprobs are given (see param.logprobs)")


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
    if not answer.text and not entries(answer):
        return inconclusive("no text and no entries: all tokens were thoughts, or none was made")
    return verdict(bool(entries(answer)), saw=f"{len(entries(answer))} entries")


@check(
    "param.logprobs.count", "There is a logprob for every token", FEATURE, needs=("logprobs", "usage"),
    expects="as many entries as completion_tokens (one fewer where the end is no token)", source="spec",
)  # fmt: skip
def logprobs_count(ctx: Context) -> Finding:
    answer = ctx.chat(logprobs=True, top_logprobs=3)
    count, used = len(entries(answer)), answer.tokens("completion")
    spare = 0 if answer.finish == "length" and count else 1  # an end that is no token of the text
    return verdict(0 <= used - count <= spare, saw=f"{count} entries, {used} tokens")


@check(
    "param.logprobs.values", "Logprobs are logprobs", FEATURE, needs=("logprobs",),
    expects="every logprob is a finite number up to 0", source="spec",
)  # fmt: skip
def logprobs_values(ctx: Context) -> Finding:
    values = [dig(token, "logprob") for token in entries(ctx.chat(logprobs=True, top_logprobs=3))]
    wrong = [value for value in values if not is_number(value) or value > TIE]
    return verdict(not wrong, saw=f"a logprob is {short(wrong[0], 40)}" if wrong else f"{len(values)} values")


@check(
    "param.logprobs.keys", "A logprob has all its parts", FEATURE, needs=("logprobs",), rows=("n14b_logprobs_notop",),
    expects="token, logprob, bytes (a list or null) and top_logprobs (a list)",
    source="spec, all required; measured n14b",
)  # fmt: skip
def logprobs_keys(ctx: Context) -> Finding:
    tokens = entries(ctx.chat(logprobs=True, top_logprobs=3))
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
    expects="3 for each token, the likeliest first", source="spec",
)  # fmt: skip
def logprobs_top(ctx: Context) -> Finding:
    lists = [as_list(dig(token, "top_logprobs")) for token in entries(ctx.chat(logprobs=True, top_logprobs=3))]
    if not any(lists):
        return ignored("no alternatives for top_logprobs 3")
    counts = sorted({len(one) for one in lists})
    values = [[dig(one, "logprob") for one in tops] for tops in lists]
    sorted_ = all(_falling(one) for one in values)
    return verdict(counts == [3] and sorted_, saw=f"{counts} for each, {'' if sorted_ else 'not '}falling")


def _falling(values: list[Any]) -> bool:
    return all(not is_number(a) or not is_number(b) or a >= b - TIE for a, b in itertools.pairwise(values))


@check(
    "param.logprobs.text", "The tokens are the text", FEATURE, needs=("logprobs",),
    expects="the bytes of all tokens put together are the content", source="spec: bytes",
)  # fmt: skip
def logprobs_text(ctx: Context) -> Finding:
    answer = ctx.chat(logprobs=True, top_logprobs=3)
    tokens, content = entries(answer), dig(answer.message, "content")
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
    return verdict_or_ignored(bool(entries(answer)), "no entries without top_logprobs")


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
    plain = [dig(token, "token") for token in entries(ctx.chat(logprobs=True, top_logprobs=3))]
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
