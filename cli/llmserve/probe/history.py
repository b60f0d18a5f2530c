"""What a run has seen so far, sorted by route: for checks that judge every answer and not one.

A server that errs only now and then, only on long answers, only where a connection is used again, shows it somewhere
among some hundred exchanges, whichever check sent them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llmserve.probe.answer import Answer
from llmserve.probe.check import Finding, fail, inconclusive, ok, verdict
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict
from llmserve.probe.exchange import Exchange
from llmserve.probe.stream import StreamAnswer
from llmserve.probe.strict_json import lenient

__all__ = ["Seen", "first_wrong", "own_ids", "streamed", "whole"]

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class Seen(Generic[A]):
    """An answer of the run, and the JSON that was asked (empty where the request had none)."""

    answer: A
    asked: dict[str, Any]


def whole(ctx: Context, route: str, method: str = "POST") -> Iterator[Seen[Answer]]:
    """Every 200 of ``route`` (``/chat/completions``) that came to its end and is a JSON object, no stream."""
    for made in _answered(ctx, route, method):
        answer, asked = _read(ctx, made, Answer), _json(made.request.body)
        sensible = bool(asked) or method != "POST"  # what comes to a broken body is for the checks of errors
        plain = isinstance(answer.data, dict) and not answer.data.get("error") and asked.get("stream") is not True
        if sensible and plain:
            yield Seen(answer, asked)


def streamed(ctx: Context, route: str) -> Iterator[Seen[StreamAnswer]]:
    """Every event stream of ``route`` that the server itself brought to an end, without an error in it."""
    for made in _answered(ctx, route, "POST"):
        if made.media_type != "text/event-stream" or made.left:
            continue
        answer = _read(ctx, made, StreamAnswer)
        if answer.chunks and not answer.error_chunk:
            yield Seen(answer, _json(made.request.body))


def _read(ctx: Context, made: Exchange, form: type[A]) -> A:
    """Each exchange is read once, however many checks look back on it."""
    known = ctx.facts.more.setdefault("read", {})
    key = id(made), form  # the session keeps its exchanges, so no id comes twice
    if key not in known:
        known[key] = form(made)
    found: A = known[key]
    return found


def _answered(ctx: Context, route: str, method: str) -> Iterator[Exchange]:
    target = ctx.session.target.path + route
    for made in ctx.session.seen:
        if made.status == 200 and not made.error and made.request.method == method and made.request.target == target:
            yield made


def first_wrong(ctx: Context, seen: Iterable[Seen[A]], wrong: Callable[[Seen[A]], str]) -> Finding:
    """Fails with the first that ``wrong`` has words for; inconclusive where there is nothing to look at."""
    count, faults = 0, list[tuple[Exchange, str]]()
    for one in seen:
        count += 1
        if said := wrong(one):
            faults.append((one.answer.exchange, said))
    if not count:
        return inconclusive("the run has seen none")
    if not faults:
        return ok(f"all {count}")
    for made, _ in faults[:2]:
        ctx.note(made)
    return fail(f"{len(faults)} of {count}; the first: {faults[0][1]}")


def own_ids(seen: Iterable[Seen[A]]) -> Finding:
    """Fails where two answers have one id."""
    found = [one.answer.data.get("id") for one in seen]
    names = [one for one in found if isinstance(one, str) and one]
    if not names:
        return inconclusive("no answer has an id")
    return verdict(len(set(names)) == len(names), saw=f"{len(set(names))} ids for {len(names)} answers")


def _json(body: bytes) -> dict[str, Any]:
    try:
        return as_dict(lenient(body)) if body else {}
    except ValueError:
        return {}
