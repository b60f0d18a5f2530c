"""``POST /embeddings``: unit vectors that depend on the tokens alone, as numbers or as base64 of float32."""

from __future__ import annotations

import base64
import math
import random
import struct
import zlib
from functools import lru_cache

from tests.fakes.openai.answer import Answer, Json, RefusalError, Request
from tests.fakes.openai.completions import token_lists
from tests.fakes.openai.parameters import EMBEDDINGS, check
from tests.fakes.openai.settings import Settings

__all__ = ["answer", "encoded", "vector"]

_MOST_INPUTS = 2048


def answer(request: Request, settings: Settings) -> Answer:
    body = request.json
    check(body, EMBEDDINGS)
    settings.embeds(body["model"])
    if body["input"] == "" or (isinstance(body["input"], list) and "" in body["input"]):
        raise RefusalError(400, "Invalid 'input': input cannot be an empty string.", param="input")
    if isinstance(body["input"], list) and len(body["input"]) > _MOST_INPUTS:
        message = f"Invalid 'input': array too long. Expected at most {_MOST_INPUTS} items."
        raise RefusalError(400, message, code="array_above_max_length", param="input")
    width = body.get("dimensions") or settings.width
    if width > settings.width:
        raise RefusalError(
            400, f"Invalid 'dimensions': at most {settings.width}.", code="invalid_value", param="dimensions"
        )
    inputs = token_lists(body["input"], "input")
    for tokens in inputs:
        settings.fit(tokens)
    count = sum(map(len, inputs))
    data = [_item(number, vector(tokens, settings.width, width), body) for number, tokens in enumerate(inputs)]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return Answer(body={"object": "list", "data": data, "model": settings.embedding_model, "usage": usage})


def _item(number: int, values: list[float], body: Json) -> Json:
    as_text = body.get("encoding_format") == "base64"
    return {"object": "embedding", "index": number, "embedding": encoded(values) if as_text else values}


def encoded(values: list[float], form: str = "<f") -> str:
    """Base64 of the values; ``form`` is a struct format with its byte order."""
    return base64.b64encode(struct.pack(f"{form[0]}{len(values)}{form[1]}", *values)).decode()


@lru_cache(512)
def vector(tokens: tuple[int, ...], full: int, width: int) -> list[float]:
    """``width`` values of the ``full`` ones, normalised again."""
    draw = random.Random(zlib.crc32(bytes(str(tokens), "ascii")))
    values = [draw.gauss(0, 1) for _ in range(full)][:width]
    norm = math.sqrt(sum(value * value for value in values))
    return [struct.unpack("<f", struct.pack("<f", value / norm))[0] for value in values]
