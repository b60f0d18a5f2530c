"""Keys: what is refused without one, and what passes with any."""

from __future__ import annotations

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Finding, fail, in_area, not_applicable, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, short
from llmserve.probe.judging import taken
from llmserve.probe.needs import need

check = in_area("auth", needs=("chat",))

WRONG = "sk-llmserve-probe-wrong-key-0123456789"
STAINLESS: dict[str, str | None] = {
    "x-stainless-lang": "python", "x-stainless-package-version": "3.54.0", "x-stainless-os": "Linux",
    "x-stainless-arch": "x64", "x-stainless-runtime": "CPython", "x-stainless-runtime-version": "3.12.3",
    "x-stainless-async": "false", "x-stainless-retry-count": "0", "x-stainless-read-timeout": "600",
}  # fmt: skip


def unkeyed(ctx: Context) -> Answer:
    return ctx.get("/models", headers={"Authorization": None})


def wrongly_keyed(ctx: Context) -> Answer:
    return ctx.get("/models", headers={"Authorization": f"Bearer {WRONG}"})


def chat_wrongly_keyed(ctx: Context) -> Answer:
    return ctx.chat(headers={"Authorization": f"Bearer {WRONG}"})


@need("guarded", needs=("chat",), requests=1)
def guarded(ctx: Context) -> Finding | None:
    """A wrong key is refused."""
    if chat_wrongly_keyed(ctx).is_ok:
        return not_applicable("the server is open: any key will do")
    return None


@check(
    "auth.any_key", "An open server takes any key", BREAKS, requests=1, tokens=8,
    expects="200 with Bearer EMPTY, where no key is needed",
    source="openai-python refuses an empty key, so people send EMPTY",
)  # fmt: skip
def any_key(ctx: Context) -> Finding:
    if not unkeyed(ctx).is_ok:
        return not_applicable("the server wants a key")
    return taken(ctx.chat(headers={"Authorization": "Bearer EMPTY"}), "the key EMPTY")


@check(
    "auth.none", "Without a key: 401, or an answer", BREAKS, requests=1, quick=True,
    expects="200, or 401; no 403, no redirect, no login page, no 5xx", source="openai-python AuthenticationError",
)  # fmt: skip
def no_key(ctx: Context) -> Finding:
    answer = unkeyed(ctx)
    if answer.exchange.error:
        return fail(answer.brief())
    page = answer.exchange.media_type == "text/html"
    if answer.is_ok and answer.error:
        return fail(f"200 with an error inside: {answer.said}")
    return verdict(answer.status in (200, 401) and not page, saw=answer.brief())


@check(
    "auth.wrong", "A wrong key: 401", FEATURE, needs=("guarded",), requests=1, tokens=8, quick=True,
    expects="401", source="OpenAI error codes; openai-python AuthenticationError",
)  # fmt: skip
def wrong_key(ctx: Context) -> Finding:
    answer = chat_wrongly_keyed(ctx)
    return verdict(answer.status == 401, saw=answer.brief())


@check(
    "auth.verified", "Where a key is needed, not any will do", FEATURE,
    expects="401 for a wrong key, where none is a 401", source="a proxy that looks for the header alone",
)  # fmt: skip
def verified(ctx: Context) -> Finding:
    if unkeyed(ctx).status != 401:
        return not_applicable("no key is needed for the list of models")
    return verdict(
        not chat_wrongly_keyed(ctx).is_ok, saw=f"without a key 401, with a wrong one {chat_wrongly_keyed(ctx).brief()}"
    )


@check(
    "auth.consistent", "Models and chat want the same key", FEATURE, requests=1,
    expects="a wrong key is refused by both or by none", source="UIs test a key with /models",
)  # fmt: skip
def consistent(ctx: Context) -> Finding:
    listed, chatted = wrongly_keyed(ctx), chat_wrongly_keyed(ctx)
    return verdict(listed.is_ok == chatted.is_ok, saw=f"/models {listed.brief()}, chat {chatted.brief()}")


@check(
    "auth.everywhere", "Every route wants the key that one route wants", FEATURE, needs=("guarded",), requests=6,
    tokens=24, expects="no route answers 200 without a key or with a wrong one", source="routes that were forgotten",
)  # fmt: skip
def everywhere(ctx: Context) -> Finding:
    bodies = {
        "/chat/completions": ctx.chat_body(), "/completions": ctx.completion_body("Hi", 8),
        "/embeddings": {"model": ctx.facts.more.get("embedding_model", ctx.model), "input": "hi"},
        "/responses": {"model": ctx.model, "input": "hi", "max_output_tokens": 16, "store": False},
    }  # fmt: skip
    for path, body in bodies.items():
        for key in (None, f"Bearer {WRONG}"):
            if ctx.post(path, body, headers={"Authorization": key}).is_ok:
                return fail(f"{path} answers {'without a key' if key is None else 'with a wrong key'}")
    return ok("none does")


@check(
    "auth.scheme.other", "A key under another scheme is no key", COSMETIC, needs=("guarded",), requests=1, tokens=8,
    expects="401 for Authorization: Basic with something else", source="RFC 9110",
)  # fmt: skip
def other_scheme(ctx: Context) -> Finding:
    answer = ctx.chat(headers={"Authorization": "Basic dXNlcjpwYXNzd29yZA=="})
    return verdict(not answer.is_ok, saw=answer.brief())


@check(
    "auth.envelope", "A refused key is explained in the envelope", FEATURE, needs=("guarded",),
    expects='{"error": {"message": "…"}} with the 401', rows=("e_string",),
    source='spec Error; vLLM 0.32 and SGLang 0.5.23 send {"error": "Unauthorized"} (measured)',
)  # fmt: skip
def envelope(ctx: Context) -> Finding:
    answer = chat_wrongly_keyed(ctx)
    return verdict(answer.has_envelope, saw=short(answer.exchange.body[:200].decode("utf-8", "replace")))


@check(
    "auth.code", "A refused key has its own error code", COSMETIC, needs=("guarded",),
    expects="error.code is invalid_api_key", source="OpenAI error codes",
)  # fmt: skip
def code(ctx: Context) -> Finding:
    found = chat_wrongly_keyed(ctx).error.get("code", MISSING)
    return verdict(found == "invalid_api_key", saw=f"code is {short(repr(found), 40)}")


@check(
    "auth.json", "A refused key is answered in JSON", FEATURE, needs=("guarded",),
    expects="Content-Type application/json, no login page", source="SDKs read JSON",
)  # fmt: skip
def as_json(ctx: Context) -> Finding:
    answer = chat_wrongly_keyed(ctx)
    return verdict(answer.exchange.media_type.endswith("json"), saw=answer.header("content-type") or "no type")


@check(
    "auth.before_body", "A wrong key is refused before the request is looked at", COSMETIC, needs=("guarded",),
    requests=1, expects="401 for broken JSON with a wrong key", source="nothing about the server is told to strangers",
)  # fmt: skip
def before_body(ctx: Context) -> Finding:
    answer = ctx.post("/chat/completions", b"{", headers={"Authorization": f"Bearer {WRONG}"})
    return verdict(answer.status in (401, 403), saw=answer.brief())


@check(
    "auth.stream", "A wrong key is refused before a stream", BREAKS, needs=("guarded",), requests=1, tokens=8,
    expects="401, no 200 with an event stream", source="after 200 no SDK knows the class of error",
)  # fmt: skip
def before_stream(ctx: Context) -> Finding:
    answer = ctx.chat_stream(headers={"Authorization": f"Bearer {WRONG}"})
    return verdict(answer.status in (401, 403), saw=answer.brief())


@check(
    "auth.scheme", "Bearer has no case", COSMETIC, needs=("key", "guarded"), requests=1, tokens=8,
    expects="200 with bearer KEY", source="RFC 9110: the scheme is case-insensitive",
)  # fmt: skip
def scheme(ctx: Context) -> Finding:
    answer = ctx.chat(headers={"Authorization": f"bearer {ctx.session.endpoint.api_key}"})
    return fail(answer.brief()) if answer.status == 401 else taken(answer, "bearer in small letters")


@check(
    "auth.organization", "Organization and project headers are let pass", FEATURE, requests=1, tokens=8,
    expects="200 with OpenAI-Organization, OpenAI-Project and OpenAI-Beta", source="openai-python sends them when set",
)  # fmt: skip
def organization(ctx: Context) -> Finding:
    headers: dict[str, str | None] = {
        "OpenAI-Organization": "org-probe", "OpenAI-Project": "proj_probe", "OpenAI-Beta": "probe=v1",
    }  # fmt: skip
    return taken(ctx.chat(headers=headers), "an organization header")


@check(
    "auth.stainless", "The SDKs' own headers are let pass", BREAKS, requests=1, tokens=8, quick=True,
    expects="200 with the x-stainless-* headers", source="every call of openai-python and openai-node",
)  # fmt: skip
def stainless(ctx: Context) -> Finding:
    return taken(ctx.chat(headers=STAINLESS | {"User-Agent": "OpenAI/Python 3.54.0"}), "an x-stainless header")


@check(
    "auth.echo", "No answer repeats the key", FEATURE, last=True, needs=(),
    expects="no key in full in any body or header", source="security",
)  # fmt: skip
def echo(ctx: Context) -> Finding:
    keys = [key for key in (ctx.session.endpoint.api_key, WRONG) if key and len(key) >= 12]
    for made in ctx.session.seen:
        told = made.body + "\n".join(value for _, value in made.headers).encode("utf-8", "replace")
        if any(key.encode() in told for key in keys):
            ctx.note(made)
            return fail(f"{made.request.target}: {made.status} holds the key that was sent")
    return ok("none does")
