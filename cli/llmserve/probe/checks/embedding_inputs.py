"""What embeddings take: token ids, long lists, and what they must refuse."""

from __future__ import annotations

from llmserve.probe.check import COSMETIC, FEATURE, Finding, fail, in_area, ok, verdict
from llmserve.probe.checks.embeddings import TEXTS, cosine, embed, vectors
from llmserve.probe.context import Context
from llmserve.probe.refusal import must_refuse, never_500, optional

check = in_area("embeddings", needs=("embeddings",))


@check(
    "embeddings.token_ids", "Input may be token ids", FEATURE, requests=1,
    expects="200, three tokens counted", source="spec; LangChain sends token ids",
)  # fmt: skip
def token_ids(ctx: Context) -> Finding:
    answer = embed(ctx, [10, 11, 12])
    found = vectors(answer)
    count = answer.usage.get("prompt_tokens")
    return verdict(len(found) == 1 and count in (3, 4, 5), saw=f"{len(found)} vectors, {count} tokens for three ids")


@check(
    "embeddings.token_lists", "Input may be lists of token ids", FEATURE, requests=1,
    expects="one vector for each list", source="spec; LangChain sends them",
)  # fmt: skip
def token_lists(ctx: Context) -> Finding:
    found = vectors(embed(ctx, [[10, 11], [12]]))
    return verdict(len(found) == 2, saw=f"{len(found)} vectors for two lists")


@check(
    "embeddings.list_long", "A list of sixty texts is served, one vector each", FEATURE, requests=1,
    expects="60 vectors, the same for the same text", source="indexing sends lists; some servers stop at 8 or 32",
)  # fmt: skip
def list_long(ctx: Context) -> Finding:
    found = vectors(embed(ctx, TEXTS * 20))
    if len(found) != 60:
        return fail(f"{len(found)} vectors for 60 texts")
    near = min(cosine(found[place], found[place % 3]) for place in range(60))
    return verdict(near > 0.999, saw=f"60 vectors, the same text has a cosine of {near:.4f}")


@check(
    "embeddings.list_of_one", "A list of one is like the text alone", FEATURE, requests=1,
    expects="the same vector", source="spec",
)  # fmt: skip
def list_of_one(ctx: Context) -> Finding:
    listed, plain = vectors(embed(ctx, TEXTS[:1])), vectors(embed(ctx, TEXTS[0]))
    near = cosine(listed[0], plain[0])
    return verdict(len(listed) == 1 and near > 0.999, saw=f"{len(listed)} vectors, cosine {near:.4f}")


@check(
    "embeddings.base64_list", "base64 goes for every item of a list", FEATURE, requests=1,
    expects="three strings, in order", source="spec",
)  # fmt: skip
def base64_list(ctx: Context) -> Finding:
    answer = embed(ctx, TEXTS, encoding="base64")
    data = answer.accepted().get("data")
    items = data if isinstance(data, list) else []
    kinds = [type(one.get("embedding")).__name__ for one in items if isinstance(one, dict)]
    places = [one.get("index") for one in items if isinstance(one, dict)]
    return verdict(kinds == ["str"] * 3 and places == [0, 1, 2], saw=f"{kinds}, indexes {places}")


@check(
    "embeddings.empty", "Empty input is refused", COSMETIC, requests=2, expects="400 in the envelope", source="spec",
)  # fmt: skip
def empty(ctx: Context) -> Finding:
    inputs: tuple[object, ...] = ([], "")
    for given in inputs:
        finding = never_500(embed(ctx, given), f"input {given!r}")
        if finding.verdict != "pass":
            return finding
    return must_refuse(embed(ctx, []), "an empty list")


@check(
    "embeddings.no_input", "Without input it is refused", FEATURE, requests=1,
    expects="400 in the envelope", source="spec: input is required",
)  # fmt: skip
def no_input(ctx: Context) -> Finding:
    body = {"model": ctx.facts.more["embedding_model"]}
    return must_refuse(ctx.post("/embeddings", body), "a request without input")


@check(
    "embeddings.too_long", "A text beyond the limit does not crash it", FEATURE, requests=1, prompt=40_000,
    expects="4xx in the envelope, or a vector of the truncated text", source="spec",
)  # fmt: skip
def too_long(ctx: Context) -> Finding:
    return never_500(embed(ctx, "word " * 40_000), "40,000 words")


@check(
    "embeddings.many", "2,049 inputs are refused, or served", COSMETIC, requests=1, prompt=2_100,
    expects="400 in the envelope (OpenAI's limit is 2,048), or 2,049 vectors", source="spec",
)  # fmt: skip
def many(ctx: Context) -> Finding:
    answer = embed(ctx, ["a"] * 2049, encoding="base64")
    if not answer.is_ok:
        return never_500(answer, "2,049 inputs")
    data = answer.accepted().get("data")
    count = len(data) if isinstance(data, list) else 0
    return verdict(count == 2049, saw=f"{count} vectors for 2,049 inputs")


@check(
    "embeddings.unknown_model", "An unknown model is refused", FEATURE, requests=1,
    expects="404 in the envelope", source="spec",
)  # fmt: skip
def unknown_model(ctx: Context) -> Finding:
    return must_refuse(ctx.post("/embeddings", {"model": "no-such-model", "input": "a"}), "an unknown model")


@check(
    "embeddings.user", "user is taken", COSMETIC, requests=1, expects="200", source="spec user",
)  # fmt: skip
def user(ctx: Context) -> Finding:
    return optional(embed(ctx, TEXTS[0], user="probe")) or ok("200")
