"""How a stream counts its tokens, and the options it takes."""

from __future__ import annotations

from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Ended,
    Finding,
    in_area,
    inconclusive,
    verdict,
)
from llmserve.probe.checks.streaming import counted, plain
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, dig, is_count, kind, short
from llmserve.probe.judging import clean
from llmserve.probe.stream import StreamAnswer

check = in_area("streaming", needs=("stream",))

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@check(
    "stream.usage", "A stream counts its tokens when asked", FEATURE, requests=1, tokens=8, quick=True,
    rows=("s05_usage_on_last",),
    expects="stream_options.include_usage brings a chunk with whole usage",
    source="spec ChatCompletionStreamOptions; measured s07; llama.cpp#15443",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    answer = counted(ctx)
    if not answer.usages:
        return Finding(verdict="ignored", saw="no chunk has usage")
    wrong = [
        f"{name} is {kind(answer.usage.get(name, MISSING))}" for name in COUNTS if not is_count(answer.usage.get(name))
    ]
    return verdict(not wrong, saw=", ".join(wrong) or short(answer.usage))


@check(
    "stream.usage.chunk", "The usage has a chunk of its own", FEATURE, rows=("s05_usage_on_last",),
    expects="the usage chunk has choices []", source="spec; openvino model_server#2640",
)  # fmt: skip
def usage_chunk(ctx: Context) -> Finding:
    answer = _with_usage(ctx)
    found = dig(answer.usages[-1].data, "choices")
    return verdict(not found, saw=f"choices is {short(found, 60)}")


@check(
    "stream.usage.last", "The usage comes last", BREAKS, rows=("s07_chunk_after_usage",),
    expects="no chunk after the usage chunk",
    source="measured s07: the SDKs' stream() takes the usage of the last chunk",
)  # fmt: skip
def usage_last(ctx: Context) -> Finding:
    answer = _with_usage(ctx)
    after = len(answer.chunks) - 1 - answer.chunks.index(answer.usages[-1])
    return verdict(not after, saw=f"{after} chunks come after it" if after else "it does")


@check(
    "stream.usage.once", "The usage comes once", FEATURE, rows=("s06_usage_every",),
    expects="one chunk with usage, null or nothing in the others",
    source="measured s06: LangChain and pydantic-ai add them up",
)  # fmt: skip
def usage_once(ctx: Context) -> Finding:
    answer = _with_usage(ctx)
    return verdict(len(answer.usages) == 1, saw=f"{len(answer.usages)} of {len(answer.chunks)} chunks have usage")


@check(
    "stream.usage.same", "A stream counts as a plain answer does", FEATURE, needs=("stream", "greedy", "usage"),
    alone=True, expects="the same three numbers", source="one API, two ways",
)  # fmt: skip
def usage_same(ctx: Context) -> Finding:
    answer, said = _with_usage(ctx), ctx.chat()
    counts = [answer.usage.get(name) for name in COUNTS]
    others = [said.usage.get(name) for name in COUNTS]
    if counts[0] == others[0] and counts != others and answer.text.strip() != said.text.strip():
        return inconclusive("the texts differ (see stream.text)")
    return verdict(counts == others, saw=f"{counts}, plain {others}")


@check(
    "stream.usage.unasked", "No usage chunk comes unasked", FEATURE, quick=True,
    expects="no chunk with empty choices", source="apfel#100: choices[0] of every tutorial raises IndexError",
)  # fmt: skip
def usage_unasked(ctx: Context) -> Finding:
    empty = [chunk for chunk in plain(ctx).chunks if dig(chunk.data, "choices") == []]
    return verdict(not empty, saw=short(empty[0].event.data, 80) if empty else "none does")


def _with_usage(ctx: Context) -> StreamAnswer:
    answer = counted(ctx)
    if not answer.usages:
        raise Ended(inconclusive("no chunk has usage (see stream.usage)"))
    return answer


# --- options


@check(
    "stream.options.alone", "stream_options without a stream are refused or ignored", COSMETIC, requests=1, tokens=8,
    expects="a 4xx, or a plain answer", source="spec: only set when stream is true",
)  # fmt: skip
def options_alone(ctx: Context) -> Finding:
    return clean(ctx.chat(stream_options={"include_usage": True}), "stream_options alone")


@check(
    "stream.options.null", "stream_options may be null", FEATURE, requests=1, tokens=8,
    expects="a stream", source="spec: nullable; typed clients send nulls",
)  # fmt: skip
def options_null(ctx: Context) -> Finding:
    answer = ctx.chat_stream(stream_options=None)
    return verdict(bool(answer.streamed(refusal="fail")), saw=answer.brief())


@check(
    "stream.options.false", "include_usage may be false", FEATURE, requests=1, tokens=8,
    expects="a stream without usage chunk", source="spec",
)  # fmt: skip
def options_false(ctx: Context) -> Finding:
    answer = ctx.chat_stream(stream_options={"include_usage": False})
    answer.streamed(refusal="fail")
    empty = [chunk for chunk in answer.chunks if dig(chunk.data, "choices") == []]
    if empty and any(dig(chunk.data, "choices") == [] for chunk in plain(ctx).chunks):
        return inconclusive("a usage chunk comes always (see stream.usage.unasked)")
    return verdict(not empty, saw="a usage chunk comes" if empty else "none comes")


@check(
    "stream.options.obfuscation", "include_obfuscation is let pass", COSMETIC, requests=1, tokens=8,
    expects="a stream", source="spec ChatCompletionStreamOptions",
)  # fmt: skip
def obfuscation(ctx: Context) -> Finding:
    answer = ctx.chat_stream(stream_options={"include_obfuscation": False})
    return verdict(bool(answer.streamed(refusal="fail")), saw=answer.brief())


@check(
    "stream.accept", "A stream comes whatever a client accepts", FEATURE, requests=1, tokens=8,
    expects="a stream with Accept: text/event-stream, as with application/json",
    source="openai-python sends application/json",
)  # fmt: skip
def accept(ctx: Context) -> Finding:
    answer = ctx.chat_stream(headers={"Accept": "text/event-stream"})
    return verdict(bool(answer.streamed(refusal="fail")), saw=answer.brief())
