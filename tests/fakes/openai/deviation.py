"""One point in which a server differs from OpenAI, and the small tools that deviations are made of."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.openai.answer import DONE, Answer, Event, Json, Request, encode_event

__all__ = [
    "Deviation",
    "answering",
    "asking",
    "body",
    "choices",
    "chunks",
    "deltas",
    "drop",
    "dumped",
    "each",
    "events",
    "frames",
    "loaded",
    "pieces",
    "refusals",
    "without_done",
]  # fmt: skip

Change = Callable[[Json], Any]


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """``areas`` must find it; checks that match ``follows`` (globs of their ids) may fail because of it too.

    ``ask`` changes the request before it is answered (a parameter that is ignored is one that never arrived);
    ``answer`` changes the answer. ``settings`` are those of the server that the deviation needs.
    """

    name: str
    areas: tuple[str, ...]
    follows: tuple[str, ...] = ()
    ask: Callable[[Request], Request] | None = None
    answer: Callable[[Request, Answer], Answer] | None = None
    reasoning: str = ""


def drop(*names: str) -> Callable[[Json], None]:
    """A change that takes keys away."""

    def change(data: Json) -> None:
        for name in names:
            data.pop(name, None)

    return change


def each(items: Iterable[Json], change: Callable[[Json], Any]) -> None:
    for item in items:
        change(item)


def asking(change: Callable[[Request], Request], *routes: str) -> dict[str, Any]:
    """The request is another one, on ``routes`` only where any are given."""

    def ask(request: Request) -> Request:
        return change(request) if not routes or request.route in routes else request

    return {"ask": ask}


def answering(change: Callable[[Request, Answer], Answer], *routes: str) -> dict[str, Any]:
    """The answer is another one, on ``routes`` only where any are given."""

    def answer(request: Request, given: Answer) -> Answer:
        return change(request, given) if not routes or request.route in routes else given

    return {"answer": answer}


def body(change: Change, *routes: str) -> dict[str, Any]:
    """The JSON of whole, successful answers changes in place, or is the object that ``change`` returns."""

    def answer(_: Request, given: Answer) -> Answer:
        if given.status != 200 or given.body is None:
            return given
        return replace(given, body=_changed(change, given.body))

    return answering(answer, *(routes or ("chat/completions",)))


def choices(change: Change, *routes: str) -> dict[str, Any]:
    """Each choice of whole answers."""
    return body(lambda data: _chosen(data, change), *(routes or ("chat/completions",)))


def refusals(change: Callable[[Answer], Answer], *statuses: int) -> dict[str, Any]:
    """Answers of 4xx and 5xx, or of ``statuses`` only."""

    def answer(_: Request, given: Answer) -> Answer:
        wanted = given.status in statuses if statuses else given.status >= 400
        return change(given) if wanted else given

    return answering(answer)


def events(change: Callable[[list[Event]], Iterable[Event]], *routes: str) -> dict[str, Any]:
    """The events of a stream."""

    def answer(_: Request, given: Answer) -> Answer:
        return given if given.events is None else replace(given, events=list(change(list(given.events))))

    return answering(answer, *(routes or ("chat/completions",)))


def chunks(change: Change, *routes: str) -> dict[str, Any]:
    """Each chunk of a stream in place; one for which ``change`` returns False is left out."""

    def one(event: Event) -> Event | None:
        if isinstance(event.data, str):
            return event
        data = copy.deepcopy(event.data)
        made = change(data)
        return None if made is False else replace(event, data=data)

    return events(lambda given: [event for event in map(one, given) if event], *(routes or ("chat/completions",)))


def deltas(change: Callable[[Json, Json], Any]) -> dict[str, Any]:
    """Each choice of each chunk: ``change(choice, delta)``."""

    def each(data: Json) -> None:
        for choice in data.get("choices") or []:
            change(choice, choice["delta"])

    return chunks(each)


def frames(encode: Callable[[Sequence[Event]], Iterable[bytes]], *routes: str, **headers: str | None) -> dict[str, Any]:
    """The bytes of a stream, from its events; and its headers."""

    def answer(_: Request, given: Answer) -> Answer:
        if given.events is None:
            return given
        return replace(given, pieces=list(encode(given.events))).with_headers(**headers)

    return answering(answer, *(routes or ("chat/completions",)))


def pieces(change: Callable[[bytes], bytes], *routes: str) -> dict[str, Any]:
    """Each event's bytes."""
    return frames(lambda given: [change(encode_event(event)) for event in given], *routes)


def loaded(text: str, otherwise: Any) -> Any:
    """Parsed JSON; texts that a limit has cut short are none."""
    try:
        return json.loads(text)
    except ValueError:
        return otherwise


def dumped(event: Event) -> str:
    return event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)


def without_done(given: Sequence[Event]) -> list[Event]:
    return [event for event in given if event != DONE]


def _changed(change: Change, data: Any) -> Any:
    data = copy.deepcopy(data)
    made = change(data)
    return made if isinstance(made, dict | list) and made else data


def _chosen(data: Json, change: Change) -> None:
    data["choices"] = [_changed(change, choice) for choice in data["choices"]]
