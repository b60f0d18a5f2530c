"""Faults that are not always there: now and then, under a condition, at once, or carried over from another request."""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fakes.openai.answer import DONE, Answer, Json, Request
from tests.fakes.openai.deviation import Deviation, without_done

__all__ = ["DEVIATIONS"]

CHAT, TEXT, VECTORS, RESPONSES = "chat/completions", "completions", "embeddings", "responses"
Change = Callable[[Json], Any]
Answering = Callable[[Request, Answer], Answer]


def _whole(change: Change, route: str = CHAT, when: Callable[[Request, Json], bool] = lambda *_: True) -> Answering:
    """Whole answers of ``route`` where ``when`` says so."""

    def answer(request: Request, given: Answer) -> Answer:
        if given.status != 200 or request.route != route or given.body is None or not when(request, given.body):
            return given
        data = copy.deepcopy(given.body)
        change(data)
        return replace(given, body=data)

    return answer


def _nth(count: int, inner: Answering, route: str = CHAT, *, streams: bool | None = None) -> Answering:
    """Only each ``count``-th success of ``route``."""
    turns = itertools.count(1)

    def answer(request: Request, given: Answer) -> Answer:
        counted = given.status == 200 and request.route == route
        counted = counted and streams in (None, given.events is not None)
        return inner(request, given) if counted and next(turns) % count == 0 else given

    return answer


def _events(change: Callable[[list[Any]], Any], route: str = CHAT) -> Answering:
    def answer(request: Request, given: Answer) -> Answer:
        if given.events is None or request.route != route:
            return given
        return replace(given, events=list(change(copy.deepcopy(list(given.events)))))

    return answer


def _choices(**values: Any) -> Change:
    return lambda data: [choice.update(values) for choice in data["choices"]]


def _without_finish(events: list[Any]) -> list[Any]:
    return [event for event in events if event == DONE or not (event.data["choices"] or [{}])[0].get("finish_reason")]


def _error(status: int) -> Answering:
    inner = {"message": "overloaded", "type": "server_error", "param": None, "code": None}
    return lambda *_: Answer(status=status, body={"error": inner})


def _at_once(inner: Callable[[Answer, Answer | None], Answer]) -> Answering:
    """Chat answers while another one is being made; ``inner`` is given the one before, too."""
    lock, busy, before = threading.Lock(), 0, list[Answer]()

    def answer(request: Request, given: Answer) -> Answer:
        nonlocal busy
        if request.route != CHAT or given.status != 200 or given.body is None:
            return given
        with lock:
            busy += 1
        time.sleep(0.02)  # so that others come in between
        with lock:
            among, last = busy > 1, before[-1] if before else None
            busy -= 1
            before.append(given)
        return inner(given, last) if among else given

    return answer


def _late() -> Answering:
    """Each answer has the text of the one before."""
    before = list[str]()

    def change(data: Json) -> None:
        message = data["choices"][0]["message"]
        said = message["content"]
        if before and isinstance(said, str):
            message["content"] = before[-1]
        before.append(said or "")

    return _whole(change)


def _history() -> Callable[[Request], Request]:
    """The messages of the request before come first."""
    before = list[Any]()

    def ask(request: Request) -> Request:
        messages = request.json.get("messages")
        if request.route != CHAT or not isinstance(messages, list) or not messages:
            return request
        kept = before[-2:]
        before.extend(message for message in messages if isinstance(message, dict) and message.get("role") == "user")
        return request.having(messages=[*kept, *messages])

    return ask


def _cut(events: list[Any]) -> list[Any]:
    return events[:-2]


def _off_by_one(data: Json) -> None:
    used = data["usage"]
    used["completion_tokens"] += 1
    used["total_tokens"] += 1


_LONG: Callable[[Request, Json], bool] = lambda _, data: data["usage"]["completion_tokens"] > 10  # noqa: E731
_TOOLS: Callable[[Request, Json], bool] = lambda request, _: bool(request.json.get("tools"))  # noqa: E731


def _one(name: str, areas: tuple[str, ...], answer: Answering) -> Deviation:
    return Deviation(name=name, areas=areas, answer=answer)


DEVIATIONS = (
    _one("third-without-usage", ("chat",), _nth(3, _whole(lambda data: data.pop("usage")))),
    _one("fifth-without-id", ("chat",), _nth(5, _whole(lambda data: data.update(id=None)))),
    _one("seventh-without-choices", ("chat",), _nth(7, _whole(lambda data: data.update(choices=[])))),
    _one("sixth-by-the-user", ("chat",),
         _nth(6, _whole(lambda data: [one["message"].update(role="user") for one in data["choices"]]))),
    _one("third-without-an-end", ("chat",), _nth(3, _whole(_choices(finish_reason=None)))),
    _one("third-with-index-one", ("chat",), _nth(3, _whole(_choices(index=1)))),
    _one("fourth-counts-in-words", ("chat",), _nth(4, _whole(lambda data: data["usage"].update(total_tokens="many")))),
    _one("fourth-fails", ("errors",), _nth(4, _error(500))),
    _one("second-stream-without-done", ("streaming",), _nth(2, _events(without_done), streams=True)),
    _one("fifth-stream-without-an-end", ("streaming",), _nth(5, _events(_without_finish), streams=True)),
    _one("second-completion-without-usage", ("completions",),
         _nth(2, _whole(lambda data: data.pop("usage"), TEXT), TEXT)),
    _one("fourth-without-vectors", ("embeddings",),
         _nth(4, _whole(lambda data: data.update(data=[]), VECTORS), VECTORS)),
    _one("third-response-without-output", ("responses",),
         _nth(3, _whole(lambda data: data.pop("output"), RESPONSES), RESPONSES, streams=False)),
    _one("second-response-stream-cut", ("responses",), _nth(2, _events(_cut, RESPONSES), RESPONSES, streams=True)),
    _one("long-answers-without-an-end", ("chat",), _whole(_choices(finish_reason=None), CHAT, _LONG)),
    _one("long-answers-counted-wrong", ("chat",), _whole(_off_by_one, CHAT, _LONG)),
    _one("calls-without-usage", ("tools", "chat"), _whole(lambda data: data.pop("usage"), CHAT, _TOOLS)),
    _one("at-once-mixed-up", ("transport",), _at_once(lambda given, last: last or given)),
    _one("at-once-fails", ("transport", "errors"), _at_once(lambda *_: _error(500)(None, None))),  # type: ignore[arg-type]
    _one("text-of-the-answer-before", ("chat",), _late()),
    Deviation(name="history-of-others", areas=("chat",), ask=_history()),
    _one("cached-above-prompt", ("chat",),
         _whole(lambda data: data["usage"]["prompt_tokens_details"].update(cached_tokens=10**6))),
    _one("choices-reversed", ("parameters", "chat"), _whole(lambda data: data["choices"].reverse())),
    Deviation(name="n-two-at-most", areas=("parameters",),
              ask=lambda request: request.having(n=2) if request.json.get("n") in (3, 4) else request),
    Deviation(name="seed-zero-forgotten", areas=("parameters",),
              ask=lambda request: request.without("seed") if request.json.get("seed") == 0 else request),
    Deviation(name="seed-forgotten-in-streams", areas=("parameters",),
              ask=lambda request: request.without("seed") if request.streams else request),
    Deviation(name="one-text-for-all-choices", areas=("parameters",), answer=_whole(
        lambda data: data.update(choices=[{**data["choices"][0], "index": at} for at in range(len(data["choices"]))]))),
)  # fmt: skip
"""Each carries its own counters: a run begins where the last one ended, so none may depend on the very first answer."""
