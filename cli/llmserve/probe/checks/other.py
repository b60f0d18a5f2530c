"""Other endpoints: whether they are there, and whether what is not there says so as SDKs understand it."""

from __future__ import annotations

from llmserve.probe.answer import Answer
from llmserve.probe.check import COSMETIC, Finding, fail, in_area, ok, unsupported, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_list, dig, short
from llmserve.probe.refusal import optional
from llmserve.probe.shape import misfit

check = in_area("other", needs=("model",))


def _absent(answer: Answer) -> Finding | None:
    """The finding for a route that is not there; None for a 2xx."""
    if answer.is_absent and not answer.exchange.error:
        if answer.has_envelope:
            return unsupported(answer.brief())
        return fail(f"{answer.status} outside the error envelope: {answer.said}")
    return optional(answer)


@check(
    "other.moderations", "Moderations, or a clean 404", COSMETIC, requests=1,
    expects="results with flagged and categories, or an error in the envelope", source="spec",
)  # fmt: skip
def moderations(ctx: Context) -> Finding:
    answer = ctx.post("/moderations", {"input": "A quiet day."})
    if finding := _absent(answer):
        return finding
    wrong = misfit(
        answer.data, {"id": "text", "model": "text", "results": [{"flagged": "boolean", "categories": "object"}]}
    )
    return verdict(not wrong, saw=wrong or "there are results")


@check(
    "other.rerank", "Rerank, a vendor's route", COSMETIC, requests=1, expects="results, or a clean 404",
    source="not OpenAI; vLLM, SGLang, Jina",
)  # fmt: skip
def rerank(ctx: Context) -> Finding:
    answer = ctx.post("/rerank", {"model": ctx.model, "query": "rain", "documents": ["wet", "dry"]})
    if finding := _absent(answer):
        return finding
    return ok(f"{len(as_list(dig(answer.data, 'results')))} results")


@check(
    "other.files", "Files, or a clean 404", COSMETIC, requests=1, expects="a list, or an error in the envelope",
    source="spec; nothing is uploaded",
)  # fmt: skip
def files(ctx: Context) -> Finding:
    return _list(ctx.get("/files"))


@check(
    "other.batches", "Batches, or a clean 404", COSMETIC, requests=1, expects="a list, or an error in the envelope",
    source="spec; nothing is started",
)  # fmt: skip
def batches(ctx: Context) -> Finding:
    return _list(ctx.get("/batches"))


def _list(answer: Answer) -> Finding:
    if finding := _absent(answer):
        return finding
    wrong = misfit(answer.data, {"object": frozenset({"list"}), "data": "array"})
    return verdict(not wrong, saw=wrong or f"{len(as_list(dig(answer.data, 'data')))} entries")


@check(
    "other.speech", "Speech, or a clean refusal", COSMETIC, requests=1, allow="paid",
    expects="audio bytes with an audio type, or an error in the envelope", source="spec",
)  # fmt: skip
def speech(ctx: Context) -> Finding:
    answer = ctx.post("/audio/speech", {"model": ctx.model, "input": "Hi.", "voice": "alloy"})
    if answer.is_ok:
        return verdict(
            answer.exchange.media_type.startswith("audio/"), saw=f"Content-Type {answer.exchange.media_type}"
        )
    return answer.unaccepted()


@check(
    "other.images", "Pictures are made, or refused cleanly", COSMETIC, requests=1, allow="paid",
    expects="b64_json or url, or an error in the envelope", source="spec",
)  # fmt: skip
def images(ctx: Context) -> Finding:
    answer = ctx.post("/images/generations", {"model": ctx.model, "prompt": "A lamp.", "n": 1, "size": "256x256"})
    if finding := _absent(answer):
        return finding
    return verdict(bool(as_list(dig(answer.data, "data"))), saw=short(repr(dig(answer.data, "data")), 60))


@check(
    "other.transcriptions", "Transcriptions, or a clean refusal", COSMETIC, requests=1,
    expects="an error in the envelope for a request without a file, or a clean 404", source="spec; no audio is sent",
)  # fmt: skip
def transcriptions(ctx: Context) -> Finding:
    answer = ctx.post("/audio/transcriptions", {"model": ctx.model})
    if answer.is_ok:
        return fail("a request without a file is accepted")
    return answer.unaccepted()


@check(
    "other.conversations", "Conversations, or a clean 404", COSMETIC, requests=1,
    expects="a clean 404 for an id that does not exist", source="spec",
)  # fmt: skip
def conversations(ctx: Context) -> Finding:
    answer = ctx.get("/conversations/conv_no_such")
    if answer.is_ok:
        return fail("an id that does not exist is answered with 200")
    return answer.unaccepted()


@check(
    "other.stored", "Stored chats can be listed, or it says that they cannot", COSMETIC, requests=1,
    expects="a list, or an error in the envelope", source="spec GET /chat/completions",
)  # fmt: skip
def stored(ctx: Context) -> Finding:
    return _list(ctx.get("/chat/completions"))


@check(
    "other.anthropic", "Anthropic's messages, a vendor's route", COSMETIC, requests=1, tokens=1,
    expects="an answer of type message, or a clean 404", source="not OpenAI",
)  # fmt: skip
def anthropic(ctx: Context) -> Finding:
    answer = ctx.post(
        "/messages", {"model": ctx.model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi."}]}
    )
    if finding := _absent(answer):
        return finding
    return verdict(dig(answer.data, "type") == "message", saw=f"type {short(repr(dig(answer.data, 'type')), 40)}")
