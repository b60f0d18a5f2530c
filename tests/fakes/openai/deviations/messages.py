"""Messages that are taken and never reach the model, or are refused though the API has them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.fakes.openai.answer import Answer, Json, Request
from tests.fakes.openai.deviation import Deviation, answering, asking

CHAT = "chat/completions"


def _each(change: Callable[[Json, int], Json | None]) -> Any:
    """Each message of the request; None leaves it out."""

    def ask(request: Request) -> Request:
        given = request.json.get("messages")
        if not isinstance(given, list) or not all(isinstance(message, dict) for message in given):
            return request
        kept = [made for place, message in enumerate(given) if (made := change(dict(message), place)) is not None]
        return request.having(messages=kept or [{"role": "user", "content": ""}]) if given else request

    return asking(ask, CHAT)


def _emptied(role: str, *, from_place: int = 0) -> Any:
    """What this role says is not rendered."""
    return _each(
        lambda message, place: (
            message | {"content": ""} if message.get("role") == role and place >= from_place else message
        )
    )


def _dropped(role: str, *, from_place: int = 0) -> Any:
    return _each(lambda message, place: None if message.get("role") == role and place >= from_place else message)


def _parts(role: str, change: Callable[[list[Any]], Any]) -> Any:
    return _each(
        lambda message, _: (
            message | {"content": change(message["content"])}
            if message.get("role") == role and isinstance(message.get("content"), list)
            else message
        )
    )


def _refused(wrong: Callable[[list[Json]], bool], status: int = 400, *, envelope: bool = True) -> Any:
    def answer(request: Request, given: Answer) -> Answer:
        messages = request.json.get("messages")
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages) or not wrong(messages):
            return given
        inner = {"message": "unsupported message", "type": "invalid_request_error", "param": "messages", "code": None}
        return Answer(status=status, body={"error": inner} if envelope else {"detail": "unsupported message"})

    return answering(answer, CHAT)


def _any(role: str, **having: Any) -> Callable[[list[Json]], bool]:
    def wrong(messages: list[Json]) -> bool:
        return any(
            one.get("role") == role and all(one.get(key, "absent") == value for key, value in having.items())
            for one in messages
        )

    return wrong


def _texts(parts: list[Any]) -> str:
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _last_only(request: Request) -> Request:
    messages = request.json.get("messages")
    return request.having(messages=messages[-1:]) if isinstance(messages, list) else request


def _two_systems(messages: list[Json]) -> bool:
    return [one.get("role") for one in messages[:2]] == ["system", "system"]


def _late_system(messages: list[Json]) -> bool:
    return any(one.get("role") == "system" for one in messages[1:])


def _repeats(messages: list[Json]) -> bool:
    roles = [one.get("role") for one in messages]
    return any(one == other and one in ("user", "assistant") for one, other in pairwise(roles))


def _not_ascii(messages: list[Json]) -> bool:
    return not str(messages).replace("\\u", "").isascii()


DEVIATIONS = (
    Deviation(name="system-not-rendered", areas=("messages",), **_emptied("system")),
    Deviation(name="system-dropped", areas=("messages",), **_dropped("system")),
    Deviation(name="system-refused", areas=("messages",), **_refused(_any("system"))),
    Deviation(name="developer-not-rendered", areas=("messages",), **_emptied("developer")),
    Deviation(name="developer-refused", areas=("messages",), **_refused(_any("developer"))),
    Deviation(name="developer-500", areas=("messages",), **_refused(_any("developer"), 500)),
    Deviation(name="system-late-dropped", areas=("messages",), **_dropped("system", from_place=1)),
    Deviation(name="system-late-500", areas=("messages",), **_refused(_late_system, 500)),
    Deviation(name="system-second-refused", areas=("messages",), **_refused(_two_systems)),
    Deviation(name="history-dropped", areas=("messages",), **asking(_last_only, CHAT)),
    Deviation(name="assistant-not-rendered", areas=("messages",), **_emptied("assistant")),
    Deviation(name="tool-result-dropped", areas=("tools", "messages"), **_emptied("tool")),
    Deviation(name="consecutive-500", areas=("messages",), **_refused(_repeats, 500)),
    Deviation(name="parts-user-dropped", areas=("messages",), **_parts("user", lambda parts: "")),
    Deviation(name="parts-user-as-object", areas=("messages",), **_parts("user", lambda parts: "[object Object]")),
    Deviation(name="parts-user-first-only", areas=("messages",), **_parts("user", lambda parts: parts[:1])),
    Deviation(name="parts-user-refused", areas=("messages",), **_refused(
        lambda messages: any(one.get("role") == "user" and isinstance(one.get("content"), list) for one in messages))),
    Deviation(name="parts-system-dropped", areas=("messages",), **_parts("system", lambda parts: "")),
    Deviation(name="parts-system-refused", areas=("messages",), **_refused(
        lambda messages: any(one.get("role") == "system" and isinstance(one.get("content"), list)
            for one in messages))),
    Deviation(name="parts-tool-dropped", areas=("messages",), **_parts("tool", lambda parts: "")),
    Deviation(name="parts-unknown-taken", areas=("messages",), **_parts("user", _texts)),
    Deviation(name="content-null-refused", areas=("messages", "tools"), **_refused(_any("assistant", content=None))),
    Deviation(name="content-null-500", areas=("messages", "tools"), **_refused(_any("assistant", content=None), 500)),
    Deviation(name="content-absent-refused", areas=("messages",), **_refused(
        lambda messages: any(one.get("role") == "assistant" and "content" not in one for one in messages))),
    Deviation(name="content-empty-refused", areas=("messages",), **_refused(_any("assistant", content=""))),
    Deviation(name="name-refused", areas=("messages",), **_refused(
        lambda messages: any("name" in one for one in messages if one.get("role") in ("user", "system")))),
    Deviation(name="refusal-key-refused", areas=("messages",), **_refused(
        lambda messages: any("refusal" in one or "annotations" in one for one in messages))),
    Deviation(name="unicode-500", areas=("messages",), **_refused(_not_ascii, 500)),
    Deviation(name="long-history-refused", areas=("messages",), **_refused(lambda messages: len(messages) > 30)),
    Deviation(name="messages-refused-detail", areas=("messages",), **_refused(_any("developer"), 422, envelope=False)),
)  # fmt: skip
