"""What passes through the server: a request, and the answer before it becomes bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

__all__ = ["DONE", "Answer", "Event", "Json", "RefusalError", "Request", "encode_event"]

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    """``path`` without the query; ``json`` is the parsed body, ``{}`` where there is none."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    json: Json = field(default_factory=dict)
    number: int = 0

    @property
    def route(self) -> str:
        """The last words of the path: ``chat/completions``, ``models``, ``responses`` ..."""
        return self.path.removeprefix("/v1").strip("/")

    @property
    def streams(self) -> bool:
        return self.json.get("stream") is True

    def without(self, *names: str) -> Request:
        return replace(self, json={name: value for name, value in self.json.items() if name not in names})

    def having(self, **values: Any) -> Request:
        return replace(self, json=self.json | values)


@dataclass(frozen=True)
class Event:
    """One server-sent event. ``data`` is sent as JSON, or as it stands where it is text."""

    data: Json | str
    name: str | None = None


DONE = Event("[DONE]")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """``body`` is sent as JSON; ``events`` as a stream of pieces; ``raw`` as it stands.

    ``pieces`` are the bytes of a stream, each sent by itself; where they are not given they are the events'.
    ``whole`` replaces everything, status line and headers too; the connection closes after it.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    events: Sequence[Event] | None = None
    raw: bytes | None = None
    pieces: Sequence[bytes] | None = None
    whole: Iterable[bytes | float] | None = None

    def with_headers(self, **values: str | None) -> Answer:
        """Headers set, or left out (defaults too) where the value is None; ``_`` stands for ``-``."""
        changed = dict(self.headers)
        for key, value in values.items():
            name = key.replace("_", "-")
            changed = {other: kept for other, kept in changed.items() if other.lower() != name.lower()}
            changed[name] = value or ""
        return replace(self, headers=changed)


def encode_event(event: Event) -> bytes:
    data = event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)
    name = f"event: {event.name}\n" if event.name else ""
    return f"{name}data: {data}\n\n".encode("utf-8", "surrogatepass")


class RefusalError(Exception):
    """An error in OpenAI's envelope."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None,
        kind: str = "invalid_request_error", allow: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.headers = {"Allow": allow} if allow else {}
        self.body: Json = {"error": {"message": message, "type": kind, "param": param, "code": code}}
