"""More than fits: prompts beyond the context, limits beyond it."""

from __future__ import annotations

import ipaddress

from llmserve.probe.answer import Answer
from llmserve.probe.check import (
    FEATURE,
    Finding,
    fail,
    ignored,
    in_area,
    inconclusive,
    ok,
)
from llmserve.probe.context import Context
from llmserve.probe.dig import short
from llmserve.probe.judging import refused

check = in_area("errors", needs=("chat",))


@check(
    "error.context", "A prompt longer than the context is refused", FEATURE, requests=2, tokens=2, prompt=30_000,
    alone=True, expects="400 before anything is generated, no 5xx and no silent cut", source="opencode#17762, pi#5930",
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
