"""HTTP below the API: routes, framing, connections, what proxies do on the way."""

from __future__ import annotations

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
)
from llmserve.probe.context import Context
from llmserve.probe.dig import short
from llmserve.probe.exchange import Exchange
from llmserve.probe.judging import clean
from llmserve.probe.stream import StreamAnswer

check = in_area("transport", needs=("chat",))


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
    for made in ctx.session.seen:
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


@check(
    "transport.framing", "No answer of the run breaks off or breaks HTTP", BREAKS, last=True, quick=True,
    expects="lengths and chunks are true, head lines are headers, nothing follows the end", source="RFC 9112",
)  # fmt: skip
def framing(ctx: Context) -> Finding:
    broken = [made for made in ctx.session.seen if _broken(made)]
    for made in broken[:3]:
        ctx.note(made)
    first = f"; {broken[0].request.target}: {_broken(broken[0])}" if broken else ""
    return verdict(not broken, saw=f"{len(broken)} of {len(ctx.session.seen)}{first}")


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
