"""Every answer with embeddings that the run has seen."""

from __future__ import annotations

from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, FEATURE, Finding, in_area
from llmserve.probe.checks.embeddings import unpacked
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_number, kind
from llmserve.probe.history import Seen, first_wrong, whole
from llmserve.probe.shape import misfit

check = in_area("embeddings", needs=("embeddings",))

ROUTE = "/embeddings"
SHAPE: dict[str, Any] = {
    "object": frozenset({"list"}), "model": "text", "usage": {"prompt_tokens": "count", "total_tokens": "count"},
    "data": [{"object": frozenset({"embedding"}), "index": "count", "embedding": ("string", "array")}],
}  # fmt: skip


@check(
    "embeddings.every.shape", "Every answer of the run is whole", BREAKS, last=True,
    expects="object, model, usage, and data with object, index and embedding", source="spec CreateEmbeddingResponse",
)  # fmt: skip
def shape(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), lambda seen: misfit(seen.answer.data, SHAPE))


@check(
    "embeddings.every.input", "Every input has one vector, at its place", BREAKS, last=True,
    expects="as many as inputs, numbered from 0 in order, all of one length", source="measured b07: SDKs trust it",
)  # fmt: skip
def inputs(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), _misplaced)


def _misplaced(seen: Seen[Answer]) -> str:
    data = [as_dict(item) for item in as_list(dig(seen.answer.data, "data"))]
    items = as_list(seen.asked.get("input"))
    wanted = len(items) if items and isinstance(items[0], str | list) else 1
    indexes = [item.get("index") for item in data]
    if indexes != list(range(wanted)):
        return f"{len(indexes)} vectors for {wanted} inputs, the first index is {indexes[:1]}"
    sizes = {len(found) for item in data if (found := _values(item.get("embedding")))}
    return f"lengths {sorted(sizes)}" if len(sizes) > 1 else ""


@check(
    "embeddings.every.values", "Every vector is made of numbers, as it was asked for", BREAKS, last=True,
    expects="finite numbers that are not all 0; base64 only where it was asked for", source="SDKs",
)  # fmt: skip
def values(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), _not_numbers)


def _not_numbers(seen: Seen[Answer]) -> str:
    for item in as_list(dig(seen.answer.data, "data")):
        found = dig(item, "embedding")
        if isinstance(found, str) and seen.asked.get("encoding_format") != "base64":
            return "a string, though base64 was not asked for"
        numbers = _values(found)
        if not numbers or not all(map(is_number, numbers)):
            odd = next((one for one in as_list(found) if not is_number(one)), found)
            return f"{kind(found)} with {kind(odd)} in it"
        if not any(numbers):
            return "a vector of zeros"
    return ""


def _values(found: Any) -> list[Any]:
    if not isinstance(found, str):
        return as_list(found)
    try:
        return list(unpacked(found))
    except ValueError:
        return []


@check(
    "embeddings.every.usage", "Every answer counts its input", FEATURE, last=True,
    expects="total_tokens is prompt_tokens; token ids count one each", source="spec",
)  # fmt: skip
def usage(ctx: Context) -> Finding:
    return first_wrong(ctx, whole(ctx, ROUTE), _miscounted)


def _miscounted(seen: Seen[Answer]) -> str:
    prompt, total = (seen.answer.usage.get(name) for name in ("prompt_tokens", "total_tokens"))
    return "" if prompt == total else f"prompt_tokens {prompt}, total_tokens {total}"
