"""Headers of answers: request ids, rate limits, lengths."""

from __future__ import annotations

import re

from llmserve.probe.check import (
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
from llmserve.probe.judging import taken

check = in_area("transport", needs=("chat",))

_RESET = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d)?)+")


@check(
    "transport.status", "What succeeds says 200", FEATURE, last=True,
    expects="200 for every answer of the API's routes", source="spec: the only success it knows",
)  # fmt: skip
def status(ctx: Context) -> Finding:
    routes = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")
    odd = [
        made for made in ctx.session.seen
        if made.request.target.endswith(routes) and made.request.method in ("GET", "POST")
        and made.status is not None and 200 < made.status < 300
    ]  # fmt: skip
    for made in odd[:2]:
        ctx.note(made)
    return verdict(not odd, saw=f"{len(odd)} have {odd[0].status}" if odd else "every one")


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
    answers = (made for made in ctx.session.seen if made.status == 200)
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
    limited = [made for made in ctx.session.seen if made.status == 429]
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
