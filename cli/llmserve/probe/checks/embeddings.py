"""Embeddings: the vectors, their two encodings, and what the SDKs take on trust."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, COSMETIC, FEATURE, Ended, Finding, fail, ignored, in_area, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_number, kind, short
from llmserve.probe.needs import need, route_missing
from llmserve.probe.refusal import must_refuse
from llmserve.probe.shape import misfit

check = in_area("embeddings", needs=("embeddings",))

NAMES = ("embed", "bge", "e5-", "gte", "minilm")
ANSWER = {
    "object": frozenset({"list"}), "model": "text", "usage": {"prompt_tokens": "count", "total_tokens": "count"},
    "data": [{"object": frozenset({"embedding"}), "index": "count", "embedding": ["number"]}],
}  # fmt: skip
TEXTS = ["the cat sat", "a dog ran away", "rain"]


@need("embeddings", needs=("model",), requests=3)
def embeddings(ctx: Context) -> Finding | None:
    """A model that embeds: the one that was named, or one whose name says so."""
    known = ctx.facts.more
    names = [name for name in ctx.facts.served if any(word in name.lower() for word in NAMES)]
    answer = None
    for name in dict.fromkeys([*names[:2], ctx.model]):
        known["embedding_model"] = name
        answer = embed(ctx, TEXTS[0])
        if answer.is_ok:
            return None
    assert answer
    return route_missing(answer, "embeddings")


def embed(ctx: Context, given: Any, *, encoding: str | None = "float", **fields: Any) -> Answer:
    """One request; ``encoding`` None leaves encoding_format out."""
    body: dict[str, Any] = {"model": ctx.facts.more.get("embedding_model", ctx.model), "input": given, **fields}
    if encoding:
        body["encoding_format"] = encoding
    return ctx.post("/embeddings", body)


def vectors(answer: Answer) -> list[list[float]]:
    """The float vectors in the order that they stand in, or the end of the check."""
    answer.accepted()
    found = [as_dict(item).get("embedding") for item in as_list(dig(answer.data, "data"))]
    if not found:
        raise Ended(fail("data is empty", rows=("b05",)))
    for one in found:
        if not isinstance(one, list) or not one or not all(map(is_number, one)):
            raise Ended(fail(f"an embedding is {kind(one)}: {short(repr(one), 60)}", rows=("b04",)))
    return [list(map(float, one)) for one in found if isinstance(one, list)]


def cosine(one: list[float], other: list[float]) -> float:
    size = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=False)) / size if size else 0.0


def unpacked(text: str) -> list[float]:
    """Little-endian float32 out of base64.

    Raises:
        ValueError: it is no base64, or not whole numbers of four bytes.
    """
    try:
        raw = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (binascii.Error, struct.error) as error:
        raise ValueError(str(error)) from error


@check(
    "embeddings.shape", "The answer has every required field", BREAKS, rows=("b05", "b04"),
    expects="object list, data with index and numbers, model, usage", source="spec CreateEmbeddingResponse",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    answer = embed(ctx, TEXTS[0])
    vectors(answer)
    wrong = misfit(answer.data, ANSWER)
    return verdict(not wrong, saw=wrong or "all of them")


@check(
    "embeddings.base64", "base64 is little-endian float32", BREAKS, requests=1, rows=("b01", "b02", "b03"),
    expects="the same numbers as with float", source="openai-python and openai-node ask for base64 by default",
)  # fmt: skip
def as_base64(ctx: Context) -> Finding:
    answer = embed(ctx, TEXTS[0], encoding="base64")
    answer.accepted(refusal="fail")
    found = dig(answer.data, "data", 0, "embedding")
    plain = vectors(embed(ctx, TEXTS[0]))[0]
    if isinstance(found, list):
        zeros = len(found) // 4
        saw = f"floats came though base64 was asked: openai-node makes {zeros} zeros of {len(found)} numbers"
        return Finding(verdict="ignored", saw=saw, rows=("b01",))
    if not isinstance(found, str):
        return fail(f"the embedding is {kind(found)}")
    try:
        values = unpacked(found)
    except ValueError as error:
        return fail(f"no base64 of float32: {error}")
    if len(values) != len(plain):
        return fail(f"{len(values)} numbers of float32 in base64, {len(plain)} as floats", rows=("b02",))
    near = all(abs(a - b) <= 1e-3 * max(1.0, abs(b)) for a, b in zip(values, plain, strict=True))
    return verdict(near, saw=f"{values[0]:.6g} in base64, {plain[0]:.6g} as float", rows=("b03",))


@check(
    "embeddings.default", "Without encoding_format floats come", BREAKS, requests=1,
    expects="an array of numbers, the same as with float", source="spec: default float",
)  # fmt: skip
def default(ctx: Context) -> Finding:
    found, asked = vectors(embed(ctx, TEXTS[0], encoding=None))[0], vectors(embed(ctx, TEXTS[0]))[0]
    return verdict(
        len(found) == len(asked) and cosine(found, asked) > 0.999, saw=f"{len(found)} and {len(asked)} numbers"
    )


@check(
    "embeddings.batch", "A list brings one vector each, in order", BREAKS, requests=1, rows=("b07",),
    expects="data[i].index is i", source="measured b07: SDKs trust the order",
)  # fmt: skip
def batch(ctx: Context) -> Finding:
    answer = embed(ctx, TEXTS)
    vectors(answer)
    found = [as_dict(item).get("index") for item in as_list(dig(answer.data, "data"))]
    return verdict(found == [0, 1, 2], saw=f"indexes {found} for three inputs")


@check(
    "embeddings.alone", "Alone and in a list, a text has one vector", FEATURE, requests=4,
    expects="cosine above 0.999, each at its own place", source="padding faults of batches",
)  # fmt: skip
def alone(ctx: Context) -> Finding:
    together = vectors(embed(ctx, TEXTS))
    for text, vector in zip(TEXTS, together, strict=False):
        near = cosine(vectors(embed(ctx, text))[0], vector)
        if near < 0.999:
            return fail(f"{text!r} alone and in a list: cosine {near:.4f}")
    return ok("they have")


@check(
    "embeddings.differ", "Different texts have different vectors", BREAKS,
    expects="vectors that are not all the same, not zero, of one length", source="constant answers of broken pooling",
)  # fmt: skip
def differ(ctx: Context) -> Finding:
    found = vectors(embed(ctx, TEXTS))
    if len(found) < 2:
        return fail(f"{len(found)} vector for three texts")
    if len({len(vector) for vector in found}) > 1:
        return fail(f"lengths {[len(vector) for vector in found]}")
    if any(math.hypot(*vector) == 0 for vector in found):
        return fail("a vector is all zeros")
    return verdict(cosine(found[0], found[1]) < 0.999999, saw=f"cosine {cosine(found[0], found[1]):.4f}")


@check(
    "embeddings.norm", "Vectors have length one", COSMETIC, expects="L2 norm 1, as OpenAI's",
    source="OpenAI's embeddings guide; dot products stand for cosines",
)  # fmt: skip
def norm(ctx: Context) -> Finding:
    found = [math.hypot(*vector) for vector in vectors(embed(ctx, TEXTS))]
    return verdict(all(abs(one - 1) < 0.01 for one in found), saw=f"norms {[round(one, 3) for one in found]}")


@check(
    "embeddings.repeat", "The same text has the same vector", FEATURE, requests=1,
    expects="cosine above 0.9999", source="consistency",
)  # fmt: skip
def repeat(ctx: Context) -> Finding:
    one, other = vectors(embed(ctx, TEXTS[0]))[0], vectors(embed(ctx, TEXTS[0], user="probe"))[0]
    return verdict(cosine(one, other) > 0.9999, saw=f"cosine {cosine(one, other):.6f}")


@check(
    "embeddings.model", "The answer names the model", COSMETIC, expects="the model that was asked for", source="spec",
)  # fmt: skip
def model(ctx: Context) -> Finding:
    answer = embed(ctx, TEXTS[0])
    found, asked = dig(answer.data, "model"), ctx.facts.more["embedding_model"]
    same = isinstance(found, str) and (found == asked or asked.endswith(found) or found.startswith(asked))
    return verdict(same, saw=f"model {short(repr(found), 60)} for {asked!r}")


@check(
    "embeddings.usage", "Usage counts the input", FEATURE, requests=1,
    expects="prompt_tokens is total_tokens, and grows with the input", source="spec",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    one, many = (embed(ctx, given).usage for given in (TEXTS[0], TEXTS))
    counts = [used.get(name) for used in (one, many) for name in ("prompt_tokens", "total_tokens")]
    if not all(map(is_number, counts)):
        return fail(f"usage {short(repr(one), 60)}")
    right = counts[0] == counts[1] and counts[2] == counts[3] and 0 < counts[0] < counts[2]  # type: ignore[operator]
    return verdict(right, saw=f"one text {counts[:2]}, three {counts[2:]}")


@check(
    "embeddings.bad_format", "An unknown encoding_format is refused", COSMETIC, requests=1,
    expects="400 in the envelope", source="spec",
)  # fmt: skip
def bad_format(ctx: Context) -> Finding:
    return must_refuse(embed(ctx, TEXTS[0], encoding="md5"), "encoding_format md5")


@check(
    "embeddings.dimensions", "dimensions shortens the vector, or is refused", FEATURE, requests=1,
    expects="8 numbers of length one in sum, or 4xx in the envelope", source="spec dimensions",
)  # fmt: skip
def dimensions(ctx: Context) -> Finding:
    found = vectors(embed(ctx, TEXTS[0], dimensions=8))[0]
    if len(found) != 8:
        return ignored(f"dimensions=8 brings {len(found)} numbers")
    return verdict(abs(math.hypot(*found) - 1) < 0.02, saw=f"8 numbers of norm {math.hypot(*found):.3f}")
