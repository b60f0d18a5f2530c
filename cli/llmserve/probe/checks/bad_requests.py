"""Wrong requests: refused before anything is generated."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    COSMETIC,
    FEATURE,
    Ended,
    Finding,
    fail,
    in_area,
    inconclusive,
    ok,
    verdict,
)
from llmserve.probe.checks.models import NOBODY
from llmserve.probe.context import OMIT, Context
from llmserve.probe.dig import MISSING, dig, short
from llmserve.probe.judging import refused

check = in_area("errors", needs=("chat",))


@check(
    "error.messages.missing", "A request without messages is refused", FEATURE, quick=True, requests=1,
    expects="400", source="spec, required",
)  # fmt: skip
def missing_messages(ctx: Context) -> Finding:
    return refused(ctx.chat(messages=OMIT), what="a request without messages")


@check(
    "error.messages.empty", "An empty list of messages is refused", FEATURE, requests=1,
    expects="400, no 5xx", source="spec: minItems 1; llama.cpp test_invalid_chat_completion_req",
)  # fmt: skip
def empty_messages(ctx: Context) -> Finding:
    return refused(ctx.chat(messages=[]), what="an empty conversation")


@check(
    "error.messages.type", "Messages that are no list are refused", FEATURE, requests=1,
    expects="400", source="spec: messages is an array",
)  # fmt: skip
def messages_type(ctx: Context) -> Finding:
    return refused(ctx.post("/chat/completions", ctx.chat_body() | {"messages": "hello"}), what="a string as messages")


@check(
    "error.message.role.unknown", "An unknown role is refused", COSMETIC, requests=1, tokens=8,
    expects="400", source="spec: the six roles; vLLM 0.32 answers 200 (measured)",
)  # fmt: skip
def unknown_role(ctx: Context) -> Finding:
    return refused(ctx.chat([{"role": "banana", "content": "hello"}]), what='the role "banana"')


@check(
    "error.message.role.missing", "A message without a role is refused", FEATURE, requests=1, tokens=8,
    expects="400", source="spec, required",
)  # fmt: skip
def missing_role(ctx: Context) -> Finding:
    return refused(ctx.chat([{"content": "hello"}]), what="a message without role")


@check(
    "error.body.array", "A body that is no object is refused", FEATURE, requests=1,
    expects="400, no 5xx", source="vLLM tests/entrypoints/openai: non-object body",
)  # fmt: skip
def body_array(ctx: Context) -> Finding:
    return refused(ctx.post("/chat/completions", []), what="a list as the body")


@check(
    "error.body.empty", "An empty body is refused", FEATURE, requests=1,
    expects="400, no 5xx", source="HTTP",
)  # fmt: skip
def body_empty(ctx: Context) -> Finding:
    return refused(ctx.post("/chat/completions", b""), what="an empty body")


@check(
    "error.body.deep", "A body nested too deep is refused", COSMETIC, requests=1,
    expects="400, no 5xx and no crash", source="robustness",
)  # fmt: skip
def body_deep(ctx: Context) -> Finding:
    body = b'{"model":"m","messages":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    return refused(ctx.post("/chat/completions", body), what="a list 20,000 deep")


@check(
    "error.model.unknown", "An unknown model is not found", FEATURE, quick=True, requests=1, tokens=8,
    expects="404", source="OpenAI: model_not_found; sglang#31404, mlx-serve#257: answers as another model",
)  # fmt: skip
def unknown_model(ctx: Context) -> Finding:
    answer = ctx.chat(model=NOBODY)
    if answer.is_ok:
        return fail(f"200: another model answers in its name ({short(dig(answer.data, 'model'), 40)})")
    if answer.status == 400:
        return ok(f"400 instead of 404: {answer.said}")
    return refused(answer, what="an unknown model")


@check(
    "error.model.code", "An unknown model has its own error code", COSMETIC, requests=0, tokens=0,
    expects="error.code is model_not_found", source="OpenAI error codes",
)  # fmt: skip
def unknown_model_code(ctx: Context) -> Finding:
    answer = ctx.chat(model=NOBODY)
    if not answer.is_refused or not answer.has_envelope:
        return inconclusive("an unknown model is not refused in the envelope (see error.model.unknown)")
    found = answer.error.get("code", MISSING)
    return verdict(found == "model_not_found", saw=f"code is {short(repr(found), 40)}")


@check(
    "error.model.missing", "A request without a model is refused", COSMETIC, requests=1, tokens=8,
    expects="400; some servers with one model take it", source="spec, required",
)  # fmt: skip
def missing_model(ctx: Context) -> Finding:
    answer = ctx.chat(model=OMIT)
    return ok("200: the only model answers") if answer.is_ok else refused(answer)


@check(
    "error.route", "An unknown route is not found", COSMETIC, requests=1,
    expects="404 in the envelope", source="spec Error; FastAPI sends {detail}",
)  # fmt: skip
def unknown_route(ctx: Context) -> Finding:
    answer = ctx.post("/no-such-route-llmserve-probe", {})
    if answer.status != 404:
        return fail(answer.brief())
    return verdict(answer.has_envelope, saw=answer.brief(), expected="the envelope around a 404")


def _value(name: str, field: str, value: Any, why: str, *, severity: Any = FEATURE) -> Any:
    """A check that a value outside the document's bounds is refused."""

    @check(
        f"error.value.{name}", f"{field} {short(repr(value), 30)} is refused", severity, requests=1, tokens=8,
        expects="400", source=why,
    )  # fmt: skip
    def wrong_value(ctx: Context) -> Finding:
        fields = {field: value}
        limit = None if field in ("max_tokens", "max_completion_tokens") else 8
        return refused(ctx.chat(tokens=limit, **fields), accepted="ignored", what=f"{field} {value!r}")

    return wrong_value


temperature_word = _value("temperature.type", "temperature", "hot", "spec: number")
temperature_high = _value("temperature.range", "temperature", 2.1, "spec: 0 to 2", severity=COSMETIC)
temperature_negative = _value("temperature.negative", "temperature", -1, "spec: 0 to 2")
max_tokens_negative = _value("max_tokens.negative", "max_tokens", -1, "spec: a count")
max_tokens_word = _value("max_tokens.type", "max_tokens", "many", "spec: integer")
n_zero = _value("n.zero", "n", 0, "spec: minimum 1")
top_p_high = _value("top_p.range", "top_p", 2, "spec: 0 to 1")
stop_five = _value("stop.five", "stop", ["a1", "b2", "c3", "d4", "e5"], "spec: up to 4 sequences", severity=COSMETIC)
penalty_high = _value("penalty.range", "frequency_penalty", 9, "spec: -2 to 2", severity=COSMETIC)
stream_word = _value("stream.type", "stream", "perhaps", "spec: boolean")
format_unknown = _value("response_format.type", "response_format", {"type": "sound"}, "spec; llama.cpp's own tests")


@check(
    "error.param.named", "An error names the field that is wrong", COSMETIC,
    expects="error.param, or the message, names temperature", source="spec Error.param",
)  # fmt: skip
def param_named(ctx: Context) -> Finding:
    answer = _hot(ctx)
    named = "temperature" in str(answer.error.get("param")) or "temperature" in str(answer.error.get("message"))
    return verdict(named, saw=answer.said)


@check(
    "error.param.field", "error.param is the field that is wrong", COSMETIC,
    expects="error.param 'temperature'", source="spec Error.param; forms mark the field by it",
)  # fmt: skip
def param_field(ctx: Context) -> Finding:
    answer = _hot(ctx)
    found = answer.error.get("param")
    return verdict("temperature" in str(found), saw=f"param {short(repr(found), 60)}")


def _hot(ctx: Context) -> Answer:
    """The refusal of a temperature that is a word."""
    answer = ctx.chat(temperature="hot")
    if not answer.is_refused or not answer.has_envelope:
        raise Ended(inconclusive("a wrong temperature is not refused in the envelope"))
    return answer
