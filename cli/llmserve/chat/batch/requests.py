"""A line of the input to a request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from llmserve.errors import UsageError

__all__ = ["Request", "requests"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """``id`` is the line's own ``custom_id``, or ``request-N`` by its place, counted from one."""

    id: str
    body: dict[str, Any]


def requests(lines: Iterable[str], defaults: dict[str, Any], system: str | None) -> Iterator[Request]:
    """One for each line that is not blank. A line is a text in quotes, ``{"prompt": ...}``, a body with ``messages``,
    or ``{"custom_id", "body"}`` as OpenAI's batches have it. ``defaults`` are fields that the line may override.

    Raises:
        UsageError: a line is none of these; the sentence says which.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _request(number, line, defaults, system)


def _request(number: int, line: str, defaults: dict[str, Any], system: str | None) -> Request:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"Line {number} is no JSON: {error}.", hint='Write one request a line: {"prompt": "…"}.'
        ) from error
    name = f"request-{number}"
    if isinstance(value, dict) and isinstance(value.get("body"), dict):
        name, value = str(value.get("custom_id") or name), value["body"]
    elif isinstance(value, dict) and "custom_id" in value:
        name, value = str(value["custom_id"]), {key: item for key, item in value.items() if key != "custom_id"}
    body = _body(value)
    if body is None:
        raise UsageError(f"Line {number} holds no question.", hint='Write {"prompt": "…"} or {"messages": […]}.')
    if system and not any(isinstance(each, dict) and each.get("role") == "system" for each in body["messages"]):
        body["messages"] = [{"role": "system", "content": system}, *body["messages"]]
    body = {**defaults, **body}
    return Request(id=name, body={key: item for key, item in body.items() if key not in ("stream", "stream_options")})


def _body(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        return {"messages": [{"role": "user", "content": value}]}
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("messages"), list) and value["messages"]:
        return dict(value)
    if isinstance(value.get("prompt"), str):
        rest = {key: item for key, item in value.items() if key != "prompt"}
        return {**rest, "messages": [{"role": "user", "content": value["prompt"]}]}
    return None
