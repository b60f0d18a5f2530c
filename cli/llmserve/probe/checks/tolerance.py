"""What every server must let pass: unknown fields, current fields, nulls."""

from __future__ import annotations

from typing import Any

from llmserve.probe.check import (
    BREAKS,
    FEATURE,
    Finding,
    fail,
    in_area,
)
from llmserve.probe.context import Context
from llmserve.probe.dig import short
from llmserve.probe.judging import taken

check = in_area("errors", needs=("chat",))


NULLABLE = (
    "metadata", "top_logprobs", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "n", "seed",
    "stop", "stream", "tools", "tool_choice", "response_format", "user", "stream_options", "reasoning_effort",
)  # fmt: skip


@check(
    "error.unknown.field", "An unknown field is not refused", BREAKS, requests=1, tokens=8, quick=True,
    expects="200", source="vllm#10463, livekit/agents#1276: every new field of a client breaks it",
)  # fmt: skip
def unknown_field(ctx: Context) -> Finding:
    return taken(ctx.chat(llmserve_probe_field=True), "an unknown field")


def _current(name: str, value: Any) -> Any:
    @check(
        f"error.unknown.{name}", f"The field {name} is not refused", FEATURE, requests=1, tokens=8,
        expects="200, with or without effect", source="spec CreateChatCompletionRequest; opencode#43089",
    )  # fmt: skip
    def current_field(ctx: Context) -> Finding:
        fields = {name: value}
        return taken(ctx.chat(**fields), f"{name} {short(repr(value), 40)}")

    return current_field


current_store = _current("store", False)
current_metadata = _current("metadata", {"probe": "1"})
current_tier = _current("service_tier", "auto")
current_cache_key = _current("prompt_cache_key", "probe")
current_safety = _current("safety_identifier", "probe")
current_verbosity = _current("verbosity", "medium")
current_user = _current("user", "probe")
current_modalities = _current("modalities", ["text"])


@check(
    "error.nulls", "Optional fields may be null", BREAKS, requests=2, tokens=16, quick=True,
    expects="200 where every optional field is sent as null", source="spec: nullable; many typed clients send nulls",
)  # fmt: skip
def nulls(ctx: Context) -> Finding:
    everything: dict[str, Any] = dict.fromkeys(NULLABLE)
    answer = ctx.chat(**everything)
    if answer.is_ok or not answer.is_refused:
        return taken(answer, "null")
    objects = ("tools", "tool_choice", "stream_options", "metadata", "user")
    fewer: dict[str, Any] = {name: None for name in NULLABLE if name not in objects}
    again = ctx.chat(**fewer)
    which = "only of tools, stream_options, metadata or user" if again.is_ok else "of a plain field"
    return fail(f"a null {which} is refused: {answer.brief()}")
