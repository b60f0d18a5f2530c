"""What the real SDKs make of the very bytes that the other checks judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmserve.probe.answer import Answer
from llmserve.probe.check import BREAKS, Check, Ended, Finding, fail, in_area, inconclusive, ok, skipped
from llmserve.probe.checks import embeddings, responses
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, short
from llmserve.probe.exchange import Exchange
from llmserve.probe.sdks.run import NAMES, Job, Reading, find, read
from llmserve.probe.stream import StreamAnswer
from llmserve.probe.tool_requests import forced, forced_stream, put_together

check = in_area("sdk")

Values = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of an SDK: what it needs, the bytes that it reads, and what it should make of them."""

    name: str
    title: str
    needs: tuple[str, ...]
    record: Callable[[Context], Answer]
    expected: Callable[[Answer], Values]
    rows: tuple[str, ...] = ()


def _chat(answer: Answer) -> Values:
    calls = [
        [call.get("id"), dig(call, "function", "name"), dig(call, "function", "arguments")]
        for call in map(as_dict, answer.tool_calls)
    ]
    total = answer.usage.get("total_tokens")
    return {"text": answer.text, "role": "assistant", "finish": answer.finish, "total": total, "calls": calls}


def _stream(answer: Answer) -> Values:
    assert isinstance(answer, StreamAnswer)
    return {"text": answer.text, "finish": answer.finish, "total": answer.usage.get("total_tokens")}


def _stream_calls(answer: Answer) -> Values:
    assert isinstance(answer, StreamAnswer)
    calls = [[call.get("id"), *call["function"].values()] for call in put_together(answer)]
    return {"role": "assistant", "finish": answer.finish, "calls": calls}


def _vector(answer: Answer) -> Values:
    found = dig(answer.data, "data", 0, "embedding")
    try:
        values = embeddings.unpacked(found) if isinstance(found, str) else [float(one) for one in as_list(found)]
    except (ValueError, TypeError):
        values = []
    return {"size": len(values), "first": values[0] if values else None, "norm": math.hypot(*values)}


def _responses_stream(answer: Answer) -> Values:
    assert isinstance(answer, StreamAnswer)
    data = [as_dict(chunk.data) for chunk in answer.chunks]
    deltas = [one.get("delta") for one in data if one.get("type") == "response.output_text.delta"]
    return {"text": "".join(map(str, deltas)), "status": dig(data[-1] if data else {}, "response", "status")}


def _responses_recorded(ctx: Context) -> StreamAnswer:
    return ctx.stream("/responses", responses.body_of(ctx, "Say hello.", stream=True))


CALLS = (
    Call("models", "models.list()", ("model",), lambda ctx: ctx.get("/models"),
         lambda answer: {"ids": [as_dict(one).get("id") for one in as_list(dig(answer.data, "data"))]}),
    Call("chat", "chat.completions.create()", ("chat",), lambda ctx: ctx.chat(), _chat),
    Call("stream", "chat.completions.create(stream=True)", ("stream",),
         lambda ctx: ctx.chat_stream(usage=True), _stream),
    Call("helper", "chat.completions.stream()", ("stream",), lambda ctx: ctx.chat_stream(usage=True),
         lambda answer: {**_stream(answer), "role": "assistant"}),
    Call("tools", "chat.completions.create(tools=…)", ("tools",), forced, _chat),
    Call("tools_helper", "chat.completions.stream(tools=…)", ("tools", "stream"), forced_stream, _stream_calls),
    Call("completion", "completions.create()", ("completions",), lambda ctx: ctx.completion(),
         lambda answer: {"text": answer.text, "finish": answer.finish}),
    Call("embeddings", "embeddings.create()", ("embeddings",),
         lambda ctx: embeddings.embed(ctx, embeddings.TEXTS[0], encoding="base64"), _vector, ("b01", "b02", "b03")),
    Call("responses", "responses.create()", ("responses",), lambda ctx: responses.respond(ctx),
         lambda answer: {"text": responses.text_of(answer.data), "status": dig(answer.data, "status")}),
    Call("responses_helper", "responses.stream()", ("responses",), _responses_recorded, _responses_stream),
    Call("error", "the error of a bad request", ("chat",), lambda ctx: ctx.chat(temperature="hot"),
         lambda answer: {"status": answer.status}),
)  # fmt: skip


def _made(name: str, call: Call) -> Check:
    return check(
        f"sdk.{name.removeprefix('openai-')}.{call.name}", f"{name}: {call.title}", BREAKS, needs=call.needs,
        expects="the SDK gives back what stands in the bytes", source=f"{name}, run over the recorded answer",
        rows=call.rows, last=True,
    )(lambda ctx: _judged(ctx, name, call))  # fmt: skip


def _judged(ctx: Context, name: str, call: Call) -> Finding:
    answer = call.record(ctx)
    if answer.status is None:
        return inconclusive(f"no answer to read: {answer.brief()}")
    reading = _readings(ctx, name, call, answer.exchange)
    if call.name == "error":
        return _error(name, answer, reading)
    if not answer.is_ok:
        return skipped(f"no answer to read: {answer.brief()}")
    if reading.error:
        return fail(f"{name} raises {short(reading.error, 140)}")
    return _compared(name, call, call.expected(answer), reading.value)


def _readings(ctx: Context, name: str, call: Call, made: Exchange) -> Reading:
    """All calls of one SDK are read in one process, at the first check that asks."""
    kept: dict[tuple[str, str], Reading] = ctx.facts.more.setdefault("sdk", {})
    if (name, call.name) not in kept:
        found = find(name)
        if isinstance(found, str):
            raise Ended(skipped(found))
        jobs = {one.name: Job(one.name, exchange) for one in CALLS if (exchange := _recorded(ctx, one)) is not None}
        jobs.setdefault(call.name, Job(call.name, made))
        kept |= {(name, word): one for word, one in zip(jobs, read(found, list(jobs.values())), strict=True)}
    return kept[name, call.name]


def _recorded(ctx: Context, call: Call) -> Exchange | None:
    """The bytes for a call, if what it needs is there; those that other checks brought cost nothing."""
    from llmserve.probe.runner import unmet

    if any(unmet(ctx.session, name) for name in call.needs):
        return None
    try:
        made = call.record(Context(ctx.session)).exchange
    except Ended:
        return None
    return made if made.status is not None else None


def _error(name: str, answer: Answer, reading: Reading) -> Finding:
    if answer.is_ok:
        return inconclusive("temperature 'hot' is accepted, so there is no error to read")
    shown = reading.error or str(reading.value.get("shown"))
    if reading.error or reading.value.get("status") != answer.status:
        return fail(f"{name} raises {short(shown, 100)} for {answer.brief()}")
    told = answer.error.get("message")
    if isinstance(told, str) and told and told[:60] in shown:
        return ok(f"{name} shows {short(shown, 100)!r}")
    return fail(f"{name} shows {short(shown, 100)!r}; the server said {short(answer.said, 80)!r}")


def _compared(name: str, call: Call, wanted: Values, got: Values) -> Finding:
    if call.name == "embeddings" and got.get("size") and not got.get("norm") and wanted["norm"]:
        return fail(f"{name} returns {got['size']} zeros here; the server sent {wanted['size']} numbers", rows=("b01",))
    odd = [key for key in wanted if not _same(wanted[key], got.get(key))]
    if not odd:
        return ok(f"{name} gives back {short(repr({key: got.get(key) for key in wanted}), 100)}")
    key = odd[0]
    return fail(
        f"{name} gives back {key} {short(repr(got.get(key)), 70)}; in the bytes it is {short(repr(wanted[key]), 70)}"
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        both = isinstance(one, int | float) and isinstance(other, int | float)
        return both and math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)
    return bool(one == other)


PYTHON = [_made(NAMES[0], call) for call in CALLS]
NODE = [_made(NAMES[1], call) for call in CALLS]
