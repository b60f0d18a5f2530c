"""HTTP below the API: types, framing, connections, what proxies and libraries do on the way."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import urlsplit

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Finding,
    fail,
    in_area,
    inconclusive,
    not_applicable,
    ok,
    verdict,
)  # fmt: skip
from llmserve.probe.context import Context, encoded
from llmserve.probe.dig import short
from llmserve.probe.exchange import Exchange
from llmserve.probe.judging import clean, taken
from llmserve.probe.stream import StreamAnswer

check = in_area("transport", needs=("chat",))

_BIG = 300 * 1024
_RESET = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d)?)+")
STREAMS = "text/event-stream"


# --- types and bytes


@check(
    "transport.json.type", "JSON is sent as JSON", BREAKS, quick=True, rows=("n11_ct_plain", "n11b_ct_none"),
    expects="Content-Type application/json, with or without a charset",
    source="measured n11: openai-node gives a string to the program, which then fails",
)  # fmt: skip
def json_type(ctx: Context) -> Finding:
    answer = ctx.chat()
    row = "n11_ct_plain" if answer.header("content-type") else "n11b_ct_none"
    holds = answer.exchange.media_type == "application/json"
    return verdict(holds, saw=answer.header("content-type") or "no Content-Type", rows=(row,))


@check(
    "transport.json.strict", "Every answer is strict JSON", BREAKS, last=True, quick=True, rows=("n14c_logprob_inf",),
    expects="no NaN or Infinity, no key twice, nothing after the end, UTF-8",
    source="RFC 8259; measured n14c: -Infinity kills openai-node and the AI SDK",
)  # fmt: skip
def json_strict(ctx: Context) -> Finding:
    for made in ctx.session.exchanges:
        if _whole(made) and made.media_type == "application/json" and made.body:
            fault = Answer(made).strict_fault
            if fault:
                ctx.note(made)
                return fail(f"{made.request.target}: {fault}")
    return ok("every one is")


@check(
    "transport.stream.strict", "Every event of every stream is strict JSON", BREAKS, last=True,
    rows=("n14c_logprob_inf",),
    expects="no NaN or Infinity, no key twice, UTF-8", source="RFC 8259; measured n14c",
)  # fmt: skip
def stream_strict(ctx: Context) -> Finding:
    for made in ctx.session.exchanges:
        if made.media_type == STREAMS:
            stream = StreamAnswer(made)
            fault = next((fault for chunk in stream.chunks if (fault := _strict_fault(chunk.event.data or ""))), "")
            fault = fault or next((found.detail for found in stream.faults if found.kind == "utf8"), "")
            if fault:
                ctx.note(made)
                return fail(f"{made.request.target}: {short(fault)}")
    return ok("every one is")


def _strict_fault(text: str) -> str:
    from llmserve.probe.strict_json import strict

    try:
        strict(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        return str(error)
    return ""


@check(
    "transport.request.charset", "A request may name its charset", FEATURE, requests=1, tokens=8,
    expects="200 for Content-Type: application/json; charset=utf-8", source="browsers and .NET send it",
)  # fmt: skip
def request_charset(ctx: Context) -> Finding:
    return taken(ctx.chat(headers={"Content-Type": "application/json; charset=utf-8"}), "a charset")


@check(
    "transport.request.no_type", "JSON of another type is answered", COSMETIC, requests=1, tokens=8,
    expects="200 or a 4xx, no 5xx", source="spec requestBody",
)  # fmt: skip
def request_no_type(ctx: Context) -> Finding:
    return clean(ctx.chat(headers={"Content-Type": "text/plain"}), "text/plain")


@check(
    "transport.request.escapes", "JSON escapes mean what they say", FEATURE, requests=2, tokens=16, needs=("usage",),
    expects="prompt_tokens is equal for é and \\u00e9", source="RFC 8259; Python's json escapes by default",
)  # fmt: skip
def request_escapes(ctx: Context) -> Finding:
    body = ctx.chat_body("Ünïcödé 😀")
    plain = ctx.post("/chat/completions", encoded(body))
    escaped = ctx.post("/chat/completions", json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode())
    plain.accepted(refusal="fail"), escaped.accepted(refusal="fail")
    counts = plain.tokens("prompt"), escaped.tokens("prompt")
    return verdict(counts[0] == counts[1], saw=f"{counts[0]} tokens as UTF-8, {counts[1]} as escapes")


@check(
    "transport.request.pretty", "A request may be indented", FEATURE, requests=1, tokens=8,
    expects="200", source="RFC 8259: insignificant whitespace",
)  # fmt: skip
def request_pretty(ctx: Context) -> Finding:
    return taken(ctx.post("/chat/completions", json.dumps(ctx.chat_body(), indent=4).encode()), "indented JSON")


@check(
    "transport.request.case", "Header names have no case", BREAKS, requests=1, tokens=8,
    expects="200 where all header names are in small letters", source="RFC 9110; HTTP/2 proxies send them so",
)  # fmt: skip
def request_case(ctx: Context) -> Finding:
    request = ctx.request("POST", "/chat/completions", ctx.chat_body())
    lower = tuple((name.lower(), value) for name, value in request.headers)
    return taken(ctx.answer(replace(request, headers=lower)), "headers in small letters")


@check(
    "transport.request.chunked", "A request may be sent in chunks", COSMETIC, requests=1, tokens=8,
    expects="200, or 411", source="RFC 9112; fetch() with a stream, some proxies",
)  # fmt: skip
def request_chunked(ctx: Context) -> Finding:
    body = encoded(ctx.chat_body())
    request = ctx.request("POST", "/chat/completions", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    headers = (*request.headers, ("Transfer-Encoding", "chunked"))
    return clean(ctx.answer(replace(request, headers=headers)), "a request in chunks")


@check(
    "transport.request.big", "A request of 300 KiB is no problem", FEATURE, requests=1, tokens=8,
    expects="no 413: images and files are that large", source="spec: image_url, file parts",
)  # fmt: skip
def request_big(ctx: Context) -> Finding:
    body = encoded(ctx.chat_body())
    answer = ctx.post("/chat/completions", body[:-1] + b" " * _BIG + b"}")
    if answer.status == 413:
        return fail(answer.brief())
    return taken(answer, "a request of 300 KiB, blank but for a little")


# --- routes and addresses


@check(
    "transport.base_url", "The base URL ends where the API begins", BREAKS, needs=(), quick=True, requests=1,
    expects="/models and /chat/completions lie under the URL as it was given", source="SDKs append the path",
)  # fmt: skip
def base_url(ctx: Context) -> Finding:
    answer = ctx.get("/models")
    if answer.status is not None and 300 <= answer.status < 400:
        return fail(f"{answer.status} to {short(answer.header('location'))}: give that as --base-url")
    if answer.status is None or answer.exchange.error:
        return fail(answer.brief())
    if answer.status == 404 and not ctx.post("/chat/completions", {}).is_absent:
        return ok("chat is there, /models is not (see models.list)")
    return verdict(answer.status != 404, saw=answer.brief())


@check(
    "transport.slash", "A slash at the end leads nowhere else", COSMETIC, requests=1, needs=(),
    expects="200 or 404 for /models/; no redirect to another host or from https to http",
    source="SDKs follow redirects",
)  # fmt: skip
def trailing_slash(ctx: Context) -> Finding:
    answer = ctx.get("/models/")
    if answer.exchange.error:
        return answer.unaccepted()
    abroad = _leads_away(ctx, answer.exchange)
    return fail(f"{answer.status} to {short(abroad)}") if abroad else ok(answer.brief())


@check(
    "transport.redirects", "No answer sends the key elsewhere", BREAKS, last=True, quick=True, needs=(),
    expects="no redirect to another host, and none from https to http", source="SDKs follow redirects",
)  # fmt: skip
def redirects(ctx: Context) -> Finding:
    for made in ctx.session.exchanges:
        abroad = _leads_away(ctx, made)
        if abroad:
            ctx.note(made)
            return fail(f"{made.request.target}: {made.status} to {short(abroad)}")
    return ok("none does")


def _leads_away(ctx: Context, made: Exchange) -> str:
    location = made.header("location")
    if made.status is None or not 300 <= made.status < 400 or not location:
        return ""
    try:
        parts = urlsplit(location)
    except ValueError:
        return location
    ours = ctx.session.target
    port = parts.port or (443 if parts.scheme == "https" else 80)
    other_host = parts.hostname is not None and (parts.hostname, port) != (ours.host.lower(), ours.port)
    upgraded = parts.hostname == ours.host.lower() and not ours.tls and parts.scheme == "https"
    return location if (other_host and not upgraded) or (ours.tls and parts.scheme == "http") else ""


@check(
    "transport.method", "GET on a route for POST is refused", COSMETIC, requests=1,
    expects="405 or 404", source="RFC 9110",
)  # fmt: skip
def wrong_method(ctx: Context) -> Finding:
    answer = ctx.get("/chat/completions")
    if answer.exchange.error:
        return answer.unaccepted()
    return verdict(answer.status in (404, 405, 400), saw=answer.brief())


@check(
    "transport.method.envelope", "That refusal is an error like others", COSMETIC,
    expects="the error envelope", source="spec ErrorResponse: clients show its message",
)  # fmt: skip
def method_envelope(ctx: Context) -> Finding:
    answer = ctx.get("/chat/completions")
    if not answer.is_refused:
        return not_applicable(f"it is not refused: {answer.brief()}")
    return verdict(answer.has_envelope, saw=answer.brief())


@check(
    "transport.method.allow", "A 405 says what is allowed", COSMETIC,
    expects="an Allow header", source="RFC 9110, section 15.5.6: MUST",
)  # fmt: skip
def method_allow(ctx: Context) -> Finding:
    answer = ctx.get("/chat/completions")
    if answer.status != 405:
        return not_applicable(f"no 405: {answer.brief()}")
    return verdict(bool(answer.header("allow")), saw=f"Allow: {answer.header('allow') or 'absent'}")


@check(
    "transport.head", "HEAD is answered without a body", COSMETIC, requests=1, needs=(),
    expects="200, 404 or 405, and no body", source="RFC 9110; health checks",
)  # fmt: skip
def head(ctx: Context) -> Finding:
    answer = ctx.answer(ctx.request("HEAD", "/models"))
    if answer.exchange.error:
        return answer.unaccepted()
    return verdict(answer.status is not None and answer.status < 500, saw=f"{answer.status}")


@check(
    "transport.http10", "An old proxy is answered", COSMETIC, requests=1, needs=(),
    expects="an answer to HTTP/1.0, or 505", source="RFC 9112; some health checks and proxies",
)  # fmt: skip
def http10(ctx: Context) -> Finding:
    answer = ctx.answer(replace(ctx.request("GET", "/models"), version="HTTP/1.0"))
    if answer.exchange.error:
        return answer.unaccepted()
    if "chunked" in answer.header("transfer-encoding").lower():
        return fail("an answer in chunks, which HTTP/1.0 does not know")
    return ok(answer.brief())


# --- framing and connections


@check(
    "transport.framing", "No answer of the run breaks off or breaks HTTP", BREAKS, last=True, quick=True,
    expects="lengths and chunks are true, head lines are headers, nothing follows the end", source="RFC 9112",
)  # fmt: skip
def framing(ctx: Context) -> Finding:
    broken = [made for made in ctx.session.exchanges if _broken(made)]
    for made in broken[:3]:
        ctx.note(made)
    first = f"; {broken[0].request.target}: {_broken(broken[0])}" if broken else ""
    return verdict(not broken, saw=f"{len(broken)} of {len(ctx.session.exchanges)}{first}")


def _broken(made: Exchange) -> str:
    asked = (name.lower() for name, _ in made.request.headers)
    if made.status is None and (made.reused or "transfer-encoding" in asked):
        return ""  # a connection that was not kept, a request in chunks: other checks say so
    if made.error in ("cut", "coding", "not_http", "too_large"):
        return f"{made.error}: {made.detail}"
    return next((fault for fault in made.faults if "stays open" not in fault), "")


@check(
    "transport.keepalive", "A connection serves several requests", FEATURE, requests=3, tokens=0,
    expects="three requests on one connection", source="every SDK keeps connections; a new one costs TLS each time",
)  # fmt: skip
def keepalive(ctx: Context) -> Finding:
    with ctx.connection() as connection:
        for turn in (1, 2, 3):
            made = ctx.carried(connection.exchange(ctx.request("GET", "/models"), ctx.session.limits))
            if made.error and turn > 1:
                return fail(f"request {turn} on the connection: {made.error}: {made.detail}")
            if not connection.reusable:
                return fail(f"the connection ends after request {turn}: {_end(made)}")
    return ok("three on one")


@check(
    "transport.keepalive.stream", "A connection survives a stream", COSMETIC, requests=2, tokens=8,
    expects="the stream ends with its last chunk at once after [DONE], and the connection serves another request",
    source="openai-python drains 0.1 s after [DONE], then drops the connection",
)  # fmt: skip
def keepalive_stream(ctx: Context) -> Finding:
    with ctx.connection() as connection:
        request = ctx.request("POST", "/chat/completions", ctx.chat_body(stream=True))
        made = ctx.carried(connection.exchange(request, ctx.session.limits))
        if not StreamAnswer(made).is_stream:
            return inconclusive(f"no stream came: {Answer(made).brief()}")
        if not connection.reusable:
            return fail(f"the connection is of no further use after a stream: {_end(made)}")
        after = ctx.carried(connection.exchange(ctx.request("GET", "/models"), ctx.session.limits))
    return verdict(not after.error, saw=f"{after.error}: {after.detail}" if after.error else "it does")


def _end(made: Exchange) -> str:
    said = made.header("connection")
    return "; ".join(filter(None, (f"Connection: {said}" if said else "", made.error, *made.faults))) or made.version


@check(
    "transport.stream.framing", "A stream is sent as one", FEATURE, needs=("stream",),
    expects="Transfer-Encoding: chunked (or a body until the end), no Content-Length", source="RFC 9112; SSE",
)  # fmt: skip
def stream_framing(ctx: Context) -> Finding:
    answer = ctx.chat_stream()
    length = answer.header("content-length")
    return verdict(not length, saw=f"Content-Length: {length}" if length else answer.header("transfer-encoding"))


@check(
    "transport.gzip", "A packed answer unpacks", FEATURE, requests=1, tokens=8,
    expects="the same kind of answer with Accept-Encoding: gzip, deflate", source="every SDK asks for it",
)  # fmt: skip
def gzipped(ctx: Context) -> Finding:
    answer = ctx.chat(headers={"Accept-Encoding": "gzip, deflate"})
    coding = answer.header("content-encoding")
    if coding and coding.lower() not in ("gzip", "deflate", "identity"):
        return fail(f"Content-Encoding: {short(coding, 40)}, which was not asked for")
    answer.accepted(refusal="fail")
    return verdict(bool(answer.choices), saw=f"Content-Encoding: {coding or 'none'}")


@check(
    "transport.gzip.stream", "A packed stream still streams", FEATURE, requests=1, tokens=24, needs=("stream",),
    alone=True, expects="events arrive one by one with Accept-Encoding: gzip, deflate", source="buffering proxies",
)  # fmt: skip
def gzipped_stream(ctx: Context) -> Finding:
    answer = ctx.chat_stream(tokens=24, headers={"Accept-Encoding": "gzip, deflate"})
    answer.streamed(refusal="fail")
    coding = answer.header("content-encoding")
    if not coding or coding.lower() == "identity":
        return ok("it is not packed")
    pieces = len(answer.exchange.arrivals)
    return verdict(pieces > 1, saw=f"{coding}: {len(answer.chunks)} events in {pieces} pieces")


@check(
    "transport.expect", "Expect: 100-continue is answered", COSMETIC, requests=1, tokens=8,
    expects="an answer, after a 100 or without one", source="curl sends it with bodies over 1 MiB",
)  # fmt: skip
def expect(ctx: Context) -> Finding:
    return clean(ctx.chat(headers={"Expect": "100-continue"}), "Expect: 100-continue")


@check(
    "transport.disconnect", "A client that leaves frees its place", FEATURE, requests=3, tokens=600, alone=True,
    needs=("stream",),
    expects="after a stream of 512 tokens is left, the next request is answered without waiting for it",
    source="a left stream costs its tokens all the same",
)  # fmt: skip
def disconnect(ctx: Context) -> Finding:
    before = ctx.chat(tokens=1, again=20)
    body = ctx.chat_body("Count from one to a thousand in words.", 512, stream=True)
    left = ctx.stream("/chat/completions", body, limits=replace(ctx.session.limits, first_pieces=2))
    if not left.is_ok and left.status != 200:
        return left.unaccepted()
    after = ctx.chat(tokens=1, again=21)
    after.accepted(refusal="fail")
    waited, usual = after.exchange.took_s, before.exchange.took_s
    return verdict(waited < usual * 3 + 2.0, saw=f"{waited:.2f} s, and {usual:.2f} s before")


# --- headers of the answer


@check(
    "transport.request_id", "An answer has a request id", COSMETIC,
    expects="x-request-id is there", source="OpenAI: debugging requests; openai-python's _request_id",
)  # fmt: skip
def request_id(ctx: Context) -> Finding:
    found = ctx.chat().header("x-request-id")
    return verdict(bool(found), saw=short(found, 60) or "no x-request-id")


@check(
    "transport.request_id.unique", "Each answer has a request id of its own", COSMETIC,
    expects="x-request-id is there on answers and errors, and differs", source="OpenAI: debugging requests", requests=1,
)  # fmt: skip
def request_id_unique(ctx: Context) -> Finding:
    answers = ctx.chat(), ctx.get("/models"), ctx.post("/chat/completions", b'{"model": "m", "messages": [{"role": ')
    found = [answer.header("x-request-id") for answer in answers]
    if not found[0]:
        return inconclusive("there is none (see transport.request_id)")
    return verdict(
        all(found) and len(set(found)) == len(found), saw=", ".join(short(one, 40) or "none" for one in found)
    )


@check(
    "transport.request_id.client", "A client may send a request id", COSMETIC, requests=1, tokens=8,
    expects="200 with X-Client-Request-Id", source="OpenAI API overview",
)  # fmt: skip
def client_request_id(ctx: Context) -> Finding:
    return taken(ctx.chat(headers={"X-Client-Request-Id": "probe-1"}), "X-Client-Request-Id")


@check(
    "transport.rate_headers", "Rate-limit headers can be read", COSMETIC, last=True,
    expects="x-ratelimit-limit/remaining are numbers and reset is a time such as 1s or 6m0s, where they are sent",
    source="OpenAI API overview",
)  # fmt: skip
def rate_headers(ctx: Context) -> Finding:
    answers = (made for made in ctx.session.exchanges if made.status == 200)
    found = [(name.lower(), value) for made in answers for name, value in made.headers]
    told = dict(pair for pair in found if pair[0].startswith("x-ratelimit-"))
    if not told:
        return not_applicable("none are sent")
    wrong = [f"{name}: {short(value, 30)}" for name, value in told.items() if not _readable(name, value)]
    return verdict(not wrong, saw=", ".join(wrong) or f"{len(told)} headers")


def _readable(name: str, value: str) -> bool:
    return bool(_RESET.fullmatch(value)) if "reset" in name else value.lstrip("-").isdigit()


@check(
    "transport.retry_after", "A rate limit says when to come back", FEATURE, last=True, needs=(),
    expects="Retry-After is a number of seconds up to 120 on every 429",
    source="openai-python: longer is not waited for",
)  # fmt: skip
def retry_after(ctx: Context) -> Finding:
    limited = [made for made in ctx.session.exchanges if made.status == 429]
    if not limited:
        return not_applicable("no request met a rate limit")
    for made in limited:
        told = made.header("retry-after")
        millis = made.header("retry-after-ms")
        if not _within(told, 120) and not _within(millis, 120_000):
            ctx.note(made)
            return fail(f"Retry-After: {short(told, 40) or 'none'}")
    return ok(f"{len(limited)} of them do")


def _within(told: str, most: float) -> bool:
    try:
        return 0 <= float(told) <= most
    except ValueError:
        return False


@check(
    "transport.chat.content_length", "The length of an answer is known", COSMETIC,
    expects="Content-Length or chunks on a plain answer", source="RFC 9112: a body until the end may be a broken one",
)  # fmt: skip
def content_length(ctx: Context) -> Finding:
    made = ctx.chat().exchange
    framed = made.header("content-length") or made.header("transfer-encoding")
    return verdict(bool(framed), saw=framed or "the body ends with the connection")


def _whole(made: Exchange) -> bool:
    return made.status is not None and not made.error and made.request.method != "HEAD" and made.status != 204
