"""Request parameters: honoured, or said not to be. What a model says is judged against what it said itself."""

from __future__ import annotations

from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Finding,
    ignored,
    in_area,
    ok,
    verdict,
)
from llmserve.probe.context import Context
from llmserve.probe.dig import dig, is_count
from llmserve.probe.judging import clean, refused, taken

check = in_area("parameters", needs=("chat",))

LONG = 24
FREE = "Write a few words about whatever you like."


def verdict_or_ignored(holds: bool, saw: str) -> Finding:
    return ok("it has") if holds else ignored(saw)


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
