"""JSON as it is sent and taken, to the byte."""

from __future__ import annotations

import json
from dataclasses import replace

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    BREAKS,
    COSMETIC,
    FEATURE,
    Finding,
    fail,
    in_area,
    ok,
    verdict,
)
from llmserve.probe.context import Context, encoded
from llmserve.probe.dig import short
from llmserve.probe.exchange import Exchange
from llmserve.probe.judging import clean, taken
from llmserve.probe.stream import StreamAnswer

check = in_area("transport", needs=("chat",))

_BIG = 300 * 1024
STREAMS = "text/event-stream"


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
    for made in ctx.session.seen:
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
    for made in ctx.session.seen:
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


def _whole(made: Exchange) -> bool:
    return made.status is not None and not made.error and made.request.method != "HEAD" and made.status != 204
