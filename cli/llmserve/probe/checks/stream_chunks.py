"""The chunks of a stream, one by one."""

from __future__ import annotations

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
from llmserve.probe.checks.streaming import every, plain
from llmserve.probe.context import Context
from llmserve.probe.dig import MISSING, as_dict, dig, is_count, is_int, kind, short
from llmserve.probe.stream import Chunk

check = in_area("streaming", needs=("stream",))

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@check(
    "stream.chunk.object", "Every chunk says what it is", BREAKS, quick=True,
    rows=("s25_no_object", "s26_object_typo", "s26b_object_full"),
    expects='object is "chat.completion.chunk" in each',
    source="measured s25, s26: openai-python's stream() drops them",
)  # fmt: skip
def chunk_object(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        found = dig(chunk.data, "object")
        return "" if found == "chat.completion.chunk" else f"object is {short(repr(found), 50)}"

    return every(ctx, wrong)


@check(
    "stream.chunk.id", "Every chunk has the id of the stream", FEATURE, quick=True,
    rows=("s28_no_id", "s28b_id_changes"),
    expects="the same id, a string, in each", source="spec; measured s28: openai-node loses the usage",
)  # fmt: skip
def chunk_id(ctx: Context) -> Finding:
    ids = [dig(chunk.data, "id") for chunk in plain(ctx).chunks]
    absent = [found for found in ids if not isinstance(found, str) or not found]
    if absent:
        return fail(f"{len(absent)} of {len(ids)} chunks have no id", rows=("s28_no_id",))
    return verdict(len(set(ids)) == 1, saw=f"{len(set(ids))} ids", rows=("s28b_id_changes",))


@check(
    "stream.chunk.created", "Every chunk has the time of the stream", COSMETIC,
    rows=("s29_created_float", "s29b_no_created", "s29c_created_str"),
    expects="the same created, a whole number, in each", source="spec: each chunk has the same timestamp",
)  # fmt: skip
def chunk_created(ctx: Context) -> Finding:
    times = [dig(chunk.data, "created") for chunk in plain(ctx).chunks]
    strange = [found for found in times if not is_int(found)]
    if strange:
        rows = {"string": "s29c_created_str", "number": "s29_created_float"}
        return fail(f"created is {kind(strange[0])}", rows=(rows.get(kind(strange[0]), "s29b_no_created"),))
    return verdict(len(set(times)) == 1, saw=f"{len(set(times))} times")


@check(
    "stream.chunk.model", "Every chunk names the model", COSMETIC, rows=("s30_no_model",),
    expects="model is the same string in each", source="spec, required",
)  # fmt: skip
def chunk_model(ctx: Context) -> Finding:
    names = [dig(chunk.data, "model") for chunk in plain(ctx).chunks]
    absent = [found for found in names if not isinstance(found, str) or not found]
    holds = not absent and len(set(map(str, names))) == 1
    return verdict(holds, saw=f"{len(absent)} without" if absent else short(", ".join(sorted(set(map(str, names))))))


@check(
    "stream.chunk.choices", "Every chunk has a list of choices", BREAKS, quick=True,
    rows=("s04_usage_nochoices", "s04b_usage_choicesnull"),
    expects="choices is a list in each, also in the usage chunk", source="measured s04; ATOM#1711: five of eight raise",
    requests=1, tokens=8,
)  # fmt: skip
def chunk_choices(ctx: Context) -> Finding:
    asked = ctx.chat_stream(usage=True)
    for chunk in (*plain(ctx).chunks, *asked.chunks):
        found = dig(chunk.data, "choices")
        if not isinstance(found, list) and not dig(chunk.data, "error"):
            row = "s04b_usage_choicesnull" if found is None else "s04_usage_nochoices"
            return fail(f"choices is {kind(found)} in {short(chunk.event.data, 60)}", rows=(row,))
    return ok("in each")


@check(
    "stream.chunk.index", "Every choice has an index", BREAKS, quick=True, rows=("s37_no_index",),
    expects="choices[].index is a whole number", source="spec, required; measured s37",
)  # fmt: skip
def chunk_index(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        found = next((dig(choice, "index") for choice in chunk.choices if not is_int(dig(choice, "index"))), None)
        strange = any(not is_int(dig(choice, "index")) for choice in chunk.choices)
        return f"index is {kind(found)}" if strange else ""

    return every(ctx, wrong)


@check(
    "stream.chunk.delta", "Every choice has a delta", BREAKS, quick=True,
    rows=("s35_no_delta", "s36_delta_null", "s36b_message_not_delta"),
    expects="choices[].delta is an object, at the end too", source="spec, required; measured s35, s36",
)  # fmt: skip
def chunk_delta(ctx: Context) -> Finding:
    for chunk in plain(ctx).chunks:
        for choice in chunk.choices:
            found = dig(choice, "delta")
            if not isinstance(found, dict):
                row = "s36_delta_null" if found is None else "s35_no_delta"
                row = "s36b_message_not_delta" if "message" in as_dict(choice) else row
                return fail(f"delta is {kind(found)}", rows=(row,))
    return ok("in each")


@check(
    "stream.chunk.usage_type", "usage in a chunk is an object or null", FEATURE, rows=("s58b_usage_null_tokens",),
    expects="usage is absent, null, or has whole numbers", source="spec; measured s58b",
)  # fmt: skip
def chunk_usage(ctx: Context) -> Finding:
    def wrong(chunk: Chunk) -> str:
        found = dig(chunk.data, "usage")
        if found is MISSING or found is None:
            return ""
        counts = [f"{name} {kind(dig(found, name))}" for name in COUNTS if not is_count(dig(found, name))]
        return ", ".join(counts)

    return every(ctx, wrong)
