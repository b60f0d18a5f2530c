"""What a browser asks before it lets a page talk to the API."""

from __future__ import annotations

from llmserve.probe.answer import Answer
from llmserve.probe.check import COSMETIC, FEATURE, Finding, in_area, inconclusive, not_applicable, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import short
from llmserve.probe.needs import need

check = in_area("cors", needs=("browsers",))

ORIGIN = "https://probe.example"
WANTED = ("authorization", "content-type", "x-stainless-lang", "x-stainless-retry-count")


def preflight(ctx: Context) -> Answer:
    headers: dict[str, str | None] = {
        "Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Authorization": None, "Accept": "*/*",
        "Access-Control-Request-Headers": ",".join(WANTED),
    }  # fmt: skip
    return ctx.answer(ctx.request("OPTIONS", "/chat/completions", headers=headers))


def from_browser(ctx: Context) -> Answer:
    return ctx.get("/models", headers={"Origin": ORIGIN})


@need("browsers", requests=2)
def browsers(ctx: Context) -> Finding | None:
    """Somebody thought of browsers: there is one CORS header at least. Without any, they are kept out on purpose."""
    answers = preflight(ctx), from_browser(ctx)
    if any(name.lower().startswith("access-control-") for answer in answers for name, _ in answer.exchange.headers):
        return None
    return not_applicable("no CORS header at all: browsers are kept out")


@check(
    "cors.any", "A page in a browser can use the API", COSMETIC, needs=("chat",),
    expects="CORS headers for another origin", source="openai-node dangerouslyAllowBrowser; ollama#4388",
)  # fmt: skip
def any_cors(ctx: Context) -> Finding:
    found = browsers.find(ctx)
    from llmserve.probe.check import unsupported

    return unsupported(found.saw) if found else verdict(True, saw="there are some")


@check(
    "cors.preflight", "The question before a request is answered without a key", FEATURE,
    expects="2xx to OPTIONS without Authorization", source="browsers send none; ollama#4001",
)  # fmt: skip
def preflight_open(ctx: Context) -> Finding:
    answer = preflight(ctx)
    return verdict(answer.is_ok, saw=answer.brief())


@check(
    "cors.preflight.origin", "Another origin is allowed", FEATURE,
    expects="Access-Control-Allow-Origin is * or the origin", source="fetch standard",
)  # fmt: skip
def preflight_origin(ctx: Context) -> Finding:
    found = preflight(ctx).header("access-control-allow-origin")
    return verdict(found in ("*", ORIGIN), saw=f"Access-Control-Allow-Origin: {short(found, 60) or 'none'}")


@check(
    "cors.preflight.headers", "The headers of the SDK are allowed", FEATURE,
    expects=f"Access-Control-Allow-Headers names {', '.join(WANTED)}; * does not cover authorization",
    source="fetch standard; openai-node sends x-stainless-*; ollama#4388",
)  # fmt: skip
def preflight_headers(ctx: Context) -> Finding:
    answer = preflight(ctx)
    if not answer.is_ok:
        return inconclusive("the question is not answered (see cors.preflight)")
    told = [word.strip().lower() for word in answer.header("access-control-allow-headers").split(",")]
    missing = [name for name in WANTED if name not in told and ("*" not in told or name == "authorization")]
    return verdict(not missing, saw=f"not allowed: {', '.join(missing)}" if missing else "all are allowed")


@check(
    "cors.preflight.methods", "POST is allowed", FEATURE,
    expects="Access-Control-Allow-Methods names POST, is * or absent", source="fetch standard",
)  # fmt: skip
def preflight_methods(ctx: Context) -> Finding:
    found = preflight(ctx).header("access-control-allow-methods")
    return verdict(not found or "POST" in found.upper() or found.strip() == "*", saw=short(found, 60) or "absent")


@check(
    "cors.answer", "Answers may be read by the page", FEATURE,
    expects="Access-Control-Allow-Origin on the answer itself", source="fetch standard",
)  # fmt: skip
def answer_origin(ctx: Context) -> Finding:
    answer = from_browser(ctx)
    found = answer.header("access-control-allow-origin")
    return verdict(found in ("*", ORIGIN), saw=f"Access-Control-Allow-Origin: {short(found, 60) or 'none'}")


@check(
    "cors.answer.every", "Streams and errors may be read by the page too", FEATURE, requests=3, tokens=16,
    needs=("chat", "browsers"),
    expects="Access-Control-Allow-Origin on a chat answer, a stream and a refusal", source="fetch standard",
)  # fmt: skip
def every_answer(ctx: Context) -> Finding:
    if from_browser(ctx).header("access-control-allow-origin") not in ("*", ORIGIN):
        return inconclusive("no answer has it (see cors.answer)")
    headers: dict[str, str | None] = {"Origin": ORIGIN}
    answers = {
        "a chat answer": ctx.chat(headers=headers), "a stream": ctx.chat_stream(headers=headers),
        "a refusal": ctx.post("/chat/completions", b"{", headers=headers),
    }  # fmt: skip
    bare = [
        what for what, answer in answers.items() if answer.header("access-control-allow-origin") not in ("*", ORIGIN)
    ]
    return verdict(not bare, saw=f"not on {', '.join(bare)}" if bare else "on all three")


@check(
    "cors.credentials", "Any origin with credentials is not both allowed", COSMETIC,
    expects="not * together with Access-Control-Allow-Credentials: true", source="fetch standard: browsers refuse it",
)  # fmt: skip
def credentials(ctx: Context) -> Finding:
    answer = from_browser(ctx)
    both = answer.header("access-control-allow-origin") == "*" and answer.header("access-control-allow-credentials")
    return verdict(both != "true", saw="* with credentials" if both == "true" else "no contradiction")


@check(
    "cors.expose", "A page may read the request id", COSMETIC, needs=("chat", "browsers"),
    expects="Access-Control-Expose-Headers names x-request-id, where there is one", source="openai-node's _request_id",
)  # fmt: skip
def expose(ctx: Context) -> Finding:
    answer = from_browser(ctx)
    if not answer.header("x-request-id"):
        return not_applicable("there is no x-request-id")
    told = answer.header("access-control-expose-headers").lower()
    return verdict("x-request-id" in told or told.strip() == "*", saw=short(told, 60) or "none are exposed")
