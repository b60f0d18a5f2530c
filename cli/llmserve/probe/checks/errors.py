"""Wrong requests: a refusal that clients understand, before anything is generated."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

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
)  # fmt: skip
from llmserve.probe.context import OMIT, Context
from llmserve.probe.dig import MISSING, dig, kind, short
from llmserve.probe.judging import refused, taken
from llmserve.probe.needs import need

check = in_area("errors", needs=("chat",))

NOBODY = "no-such-model-llmserve-probe"
_LEAKS = re.compile(
    r"Traceback \(most recent|File \"/|/[a-z0-9_./-]+\.(?:py|go|js|ts|rs|cpp|java):\d|"
    r"(?:/usr/|/home/|/opt/|/root/|/app/|site-packages)\S*|<class '|\bat 0x[0-9a-f]{6,}"
)
_BAD_JSON = b'{"model": "m", "messages": [{"role": '
NULLABLE = (
    "metadata", "top_logprobs", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "n", "seed",
    "stop", "stream", "tools", "tool_choice", "response_format", "user", "stream_options", "reasoning_effort",
)  # fmt: skip


def malformed(ctx: Context) -> Answer:
    """The answer to a body that is no JSON."""
    return ctx.post("/chat/completions", _BAD_JSON)


@need("refuses", needs=("chat",), requests=1)
def refuses(ctx: Context) -> Finding | None:
    """Broken JSON is refused with something to look at."""
    answer = malformed(ctx)
    if answer.status is not None and answer.status >= 400 and not answer.exchange.error:
        return None
    return inconclusive(f"there is no refusal to look at: {answer.brief()} (see error.malformed)")


# --- the envelope


@check(
    "error.malformed", "Broken JSON is refused", BREAKS, quick=True, requests=1,
    expects="400, or another 4xx", source="HTTP; the SDKs repeat a 5xx twice",
)  # fmt: skip
def malformed_refused(ctx: Context) -> Finding:
    return refused(malformed(ctx), what="broken JSON")


@check(
    "error.envelope", "An error stands where the SDKs look for it", BREAKS, needs=("refuses",), quick=True,
    expects='{"error": {"message": "…", …}}', rows=("e_flat", "e_detail", "e_string"),
    source="spec Error; measured: without it openai-node says \"(no body)\", openai-python no reason",
)  # fmt: skip
def envelope(ctx: Context) -> Finding:
    answer = malformed(ctx)
    if answer.has_envelope:
        return ok(answer.said)
    found = dig(answer.data, "error")
    row = "e_string" if isinstance(found, str) else "e_detail" if dig(answer.data, "detail") else "e_flat"
    return fail(short(answer.exchange.body[:200].decode("utf-8", "replace")), rows=(row,))


@check(
    "error.envelope.everywhere", "Every refusal of the run stands in the envelope", FEATURE, last=True,
    expects='every 4xx and 5xx of the API\'s own routes has {"error": {"message": "…"}}', source="spec Error",
    rows=("e_flat",),
)  # fmt: skip
def envelope_everywhere(ctx: Context) -> Finding:
    told = [Answer(made) for made in ctx.session.exchanges if _refused_by_route(Answer(made))]
    bare = [answer for answer in told if not answer.has_envelope]
    for answer in bare[:3]:
        ctx.note(answer.exchange)
    first = f"; the first: {bare[0].exchange.request.target} {bare[0].brief()}" if bare else ""
    return verdict(not bare, saw=f"{len(bare)} of {len(told)} refusals without{first}")


def _refused_by_route(answer: Answer) -> bool:
    known = ("/chat/completions", "/completions", "/embeddings", "/responses")
    sent = answer.exchange.request
    route = sent.method == "POST" and sent.target.endswith(known)
    return route and answer.status is not None and answer.status in (400, 422, 500) and not answer.exchange.error


@check(
    "error.json", "An error is sent as JSON", FEATURE, needs=("refuses",),
    expects="Content-Type application/json and a body that parses", source="SDKs parse errors by their type",
)  # fmt: skip
def as_json(ctx: Context) -> Finding:
    answer = malformed(ctx)
    holds = answer.exchange.media_type.endswith("json") and isinstance(answer.data, dict)
    return verdict(holds, saw=f"{answer.header('content-type') or 'no type'}, {kind(answer.data)}")


@check(
    "error.type", "An error has a type", COSMETIC, needs=("refuses",),
    expects="error.type is a string", source="spec Error, required",
)  # fmt: skip
def has_type(ctx: Context) -> Finding:
    return _field(ctx, "type", nullable=False)


@check(
    "error.param", "An error has a param key", COSMETIC, needs=("refuses",),
    expects="error.param is a string or null", source="spec Error, required",
)  # fmt: skip
def has_param(ctx: Context) -> Finding:
    return _field(ctx, "param", nullable=True)


@check(
    "error.code", "An error's code is a word", COSMETIC, needs=("refuses",),
    expects="error.code is a string or null, not a number", source="spec Error; vLLM sends numbers (measured)",
)  # fmt: skip
def has_code(ctx: Context) -> Finding:
    return _field(ctx, "code", nullable=True)


def _field(ctx: Context, name: str, *, nullable: bool) -> Finding:
    answer = malformed(ctx)
    if not answer.has_envelope:
        return inconclusive("there is no envelope (see error.envelope)")
    found = answer.error.get(name, MISSING)
    return verdict(isinstance(found, str) or (nullable and found is None), saw=f"{name} is {short(repr(found), 40)}")


@check(
    "error.leak", "No error shows the server's insides", COSMETIC, last=True,
    expects="no file path, stack trace or object of the server's language in an error",
    source="SGLang 0.5.23 prints the path of its http_server.py (recorded)",
)  # fmt: skip
def leaks(ctx: Context) -> Finding:
    for made in ctx.session.exchanges:
        if made.status is not None and made.status >= 400:
            found = _LEAKS.search(made.body[:20_000].decode("utf-8", "replace"))
            if found:
                ctx.note(made)
                return fail(f"{made.request.target} says {short(found[0], 100)}")
    return ok("none does")


@check(
    "error.status.class", "Wrong requests are refused with 400 or 404", FEATURE, last=True,
    expects="400 or 404; 422 makes another exception of it", source="openai-python _make_status_error",
)  # fmt: skip
def status_class(ctx: Context) -> Finding:
    strange = [made for made in ctx.session.exchanges if made.status == 422]
    for made in strange[:2]:
        ctx.note(made)
    return verdict(not strange, saw=f"{len(strange)} answers have 422" if strange else "none has 422")


@check(
    "error.server", "No wrong request makes the server fail", BREAKS, last=True,
    expects="no 5xx in the whole run", source="the SDKs repeat a 5xx twice; llama.cpp#23463, #27367",
)  # fmt: skip
def no_server_error(ctx: Context) -> Finding:
    failed = [
        made for made in ctx.session.exchanges if (made.status or 0) >= 500 and made.status not in (501, 503, 505)
    ]
    for made in failed[:3]:
        ctx.note(made)
    first = f": {failed[0].request.target} {Answer(failed[0]).brief()}" if failed else ""
    return verdict(not failed, saw=f"{len(failed)} of {len(ctx.session.exchanges)} answers are 5xx{first}")


# --- what is missing or wrong


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
    answer = ctx.chat(temperature="hot")
    if not answer.is_refused or not answer.has_envelope:
        return inconclusive("a wrong temperature is not refused in the envelope")
    named = "temperature" in str(answer.error.get("param")) or "temperature" in str(answer.error.get("message"))
    return verdict(named, saw=answer.said)


@check(
    "error.param.field", "error.param is the field that is wrong", COSMETIC,
    expects="error.param 'temperature'", source="spec Error.param; forms mark the field by it",
)  # fmt: skip
def param_field(ctx: Context) -> Finding:
    answer = ctx.chat(temperature="hot")
    if not answer.is_refused or not answer.has_envelope:
        return inconclusive("a wrong temperature is not refused in the envelope")
    found = answer.error.get("param")
    return verdict("temperature" in str(found), saw=f"param {short(repr(found), 60)}")


# --- too much


@check(
    "error.context", "A prompt longer than the context is refused", FEATURE, requests=5, tokens=1, alone=True,
    expects="400 before anything is generated, no 5xx and no silent cut", source="opencode#17762, pi#5930",
)  # fmt: skip
def context_overflow(ctx: Context) -> Finding:
    answer = _overflowing(ctx)
    if answer.is_ok:
        told, words = answer.usage.get("prompt_tokens"), answer.exchange.request.body.count(b"word ")
        if isinstance(told, int) and told >= words:
            return inconclusive(f"{words:,} words fit into the context; more would cost: --allow paid")
        return ignored(f"200 for a prompt of {words:,} words, of which {told} tokens are counted")
    if answer.status == 413:
        return ok(answer.brief())
    return refused(answer)


@check(
    "error.context.code", "A context overflow can be told from other errors", FEATURE, alone=True,
    expects='error.code is context_length_exceeded, or the message has the words "context length" and a number',
    source="OpenAI error codes; agents compact on it: opencode#17762, cline/kanban#504",
)  # fmt: skip
def context_code(ctx: Context) -> Finding:
    answer = _overflowing(ctx)
    if not answer.is_refused:
        return inconclusive("no overflow is refused (see error.context)")
    if answer.error.get("code") == "context_length_exceeded":
        return ok(answer.said)
    return fail(f"code {short(repr(answer.error.get('code')), 40)}: {answer.said}")


def _overflowing(ctx: Context) -> Answer:
    """The answer to the first prompt that is refused, up to 30,000 words, or 300,000 where they cost nobody money."""
    answer = ctx.chat("word " * 30_000, tokens=1)
    if answer.is_ok and (is_near(ctx.session.target.host) or "paid" in ctx.session.settings.allow):
        answer = ctx.chat("word " * 300_000, tokens=1)
    return answer


def is_near(host: str) -> bool:
    """Whether a host is this machine or one of its network, whose tokens have no price."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan"))


@check(
    "error.max_tokens.huge", "A limit beyond the context is refused or reduced", FEATURE, requests=1, alone=True,
    expects="400, or an answer as long as the context allows; no 5xx", source="tontinton/maki#301", tokens=64,
)  # fmt: skip
def huge_limit(ctx: Context) -> Finding:
    answer = ctx.chat("Say hi.", tokens=10_000_000, stop=["a", "e", "i", "o"])
    if answer.exchange.error == "timeout":
        return inconclusive("it is taken, and the answer did not end in time")
    return ok(f"reduced: {answer.usage.get('completion_tokens')} tokens") if answer.is_ok else refused(answer)


# --- streams


@check(
    "error.stream.before", "A wrong streamed request fails before the stream", BREAKS, requests=1, quick=True,
    expects="4xx with JSON, no 200 with an event stream",
    source="measured s16: after 200 no SDK knows the class of error",
)  # fmt: skip
def before_stream(ctx: Context) -> Finding:
    answer = ctx.chat_stream(temperature="hot")
    if answer.is_ok and not answer.error_chunk:
        return inconclusive("a wrong temperature is taken")
    if answer.is_ok:
        return fail(f"200, then {short(dig(answer.error_chunk.data, 'error'))}") if answer.error_chunk else ok()
    return refused(answer)


@check(
    "error.stream.json", "A refused stream is refused in JSON", FEATURE,
    expects="Content-Type application/json", source="spec Error",
)  # fmt: skip
def stream_refusal_json(ctx: Context) -> Finding:
    answer = ctx.chat_stream(temperature="hot")
    if not answer.is_refused:
        return inconclusive("the request is not refused (see error.stream.before)")
    return verdict(answer.exchange.media_type.endswith("json"), saw=answer.header("content-type") or "no type")


@check(
    "error.stream.messages", "A stream without messages is refused", FEATURE, requests=1,
    expects="4xx, before the stream begins", source="spec, required",
)  # fmt: skip
def stream_messages(ctx: Context) -> Finding:
    answer = ctx.chat_stream(messages=OMIT)
    if answer.is_ok and answer.error_chunk:
        return fail(f"200, then {short(answer.error_chunk.data)}")
    return refused(answer, what="a stream without messages")


# --- what every server must let pass


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


@check(
    "error.rate", "A burst is answered or told to wait", FEATURE, requests=20, tokens=20, allow="burst", alone=True,
    expects="200, or 429 with Retry-After; no dropped connection", source="openai-python RateLimitError",
)  # fmt: skip
def burst(ctx: Context) -> Finding:
    answers = [ctx.chat(tokens=1, again=100 + turn) for turn in range(20)]
    odd = [answer.brief() for answer in answers if not answer.is_ok and answer.status != 429]
    return verdict(not odd, saw=odd[0] if odd else f"{sum(answer.is_ok for answer in answers)} of 20 answered")
