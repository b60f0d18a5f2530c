"""What a refusal looks like, wherever it comes from."""

from __future__ import annotations

import re

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Finding,
    fail,
    in_area,
    inconclusive,
    ok,
    verdict,
)
from llmserve.probe.context import OMIT, Context
from llmserve.probe.dig import MISSING, dig, kind, short
from llmserve.probe.exchange import Exchange
from llmserve.probe.judging import refused
from llmserve.probe.needs import need

check = in_area("errors", needs=("chat",))

_LEAKS = re.compile(
    r"Traceback \(most recent|File \"/|/[a-z0-9_./-]+\.(?:py|go|js|ts|rs|cpp|java):\d|"
    r"(?:/usr/|/home/|/opt/|/root/|/app/|site-packages)\S*|<class '|\bat 0x[0-9a-f]{6,}"
)
_BAD_JSON = b'{"model": "m", "messages": [{"role": '


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
    told = [Answer(made) for made in ctx.session.seen if _refused_by_route(Answer(made))]
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
    for made in ctx.session.seen:
        if made.status is not None and made.status >= 400:
            found = _LEAKS.search(made.body[:20_000].decode("utf-8", "replace"))
            if found:
                ctx.note(made)
                return fail(f"{made.request.target} says {short(found[0], 100)}")
    return ok("none does")


@check(
    "error.status.class", "Wrong requests are refused with 400", FEATURE, last=True,
    expects="400 for a wrong field; 422, 404, 403 or 409 make another exception of it",
    source="openai-python _make_status_error",
)  # fmt: skip
def status_class(ctx: Context) -> Finding:
    strange = [made for made in ctx.session.seen if made.status == 422 or _misjudged(ctx, made)]
    for made in strange[:2]:
        ctx.note(made)
    first = f": {Answer(strange[0]).brief()}" if strange else ""
    return verdict(not strange, saw=f"{len(strange)} refusals have another status{first}")


def _misjudged(ctx: Context, made: Exchange) -> bool:
    """A wrong field of chat that is called not found, forbidden or in conflict: the model and the route are known."""
    asked = made.request.target == ctx.session.target.path + "/chat/completions" and made.request.method == "POST"
    named = b'"model":"%b"' % ctx.model.encode() in made.request.body
    return asked and named and made.status in (402, 403, 404, 406, 409, 410)


@check(
    "error.server", "No wrong request makes the server fail", BREAKS, last=True,
    expects="no 5xx in the whole run", source="the SDKs repeat a 5xx twice; llama.cpp#23463, #27367",
)  # fmt: skip
def no_server_error(ctx: Context) -> Finding:
    failed = [made for made in ctx.session.seen if (made.status or 0) >= 500 and made.status not in (501, 503, 505)]
    for made in failed[:3]:
        ctx.note(made)
    first = f": {failed[0].request.target} {Answer(failed[0]).brief()}" if failed else ""
    return verdict(not failed, saw=f"{len(failed)} of {len(ctx.session.seen)} answers are 5xx{first}")


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


@check(
    "error.rate", "A burst is answered or told to wait", FEATURE, requests=20, tokens=20, allow="burst", alone=True,
    expects="200, or 429 with Retry-After; no dropped connection", source="openai-python RateLimitError",
)  # fmt: skip
def burst(ctx: Context) -> Finding:
    answers = [ctx.chat(tokens=1, again=100 + turn) for turn in range(20)]
    odd = [answer.brief() for answer in answers if not answer.is_ok and answer.status != 429]
    return verdict(not odd, saw=odd[0] if odd else f"{sum(answer.is_ok for answer in answers)} of 20 answered")
