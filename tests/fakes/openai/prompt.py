"""Messages, tools and inputs to prompt tokens: the chat template of the pseudo-model."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from tests.fakes.openai.answer import Json, RefusalError
from tests.fakes.openai.tokens import END, IMAGE, START, encode

__all__ = ["messages_tokens", "of_chat", "tools_text"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_PICTURE = {"low": 16, "high": 64, "auto": 32}


def of_chat(body: Json) -> tuple[int, ...]:
    """The prompt of a chat request: tools first, then the messages, then the assistant's turn."""
    if not body["messages"]:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise RefusalError(400, message, code="empty_array", param="messages")
    tools = encode(tools_text(body.get("tools") or []))
    return (*tools, *messages_tokens(body["messages"]), START, *encode("assistant\n"))


def tools_text(tools: list[Any]) -> str:
    return "\n".join(json.dumps(tool, sort_keys=True) for tool in tools)


def messages_tokens(messages: list[Any]) -> tuple[int, ...]:
    tokens: list[int] = []
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise RefusalError(
                400, "Invalid type: expected an object.", code="invalid_type", param=f"messages[{place}]"
            )
        tokens += [START, *encode(f"{_role(message, place)}\n"), *_said(message, place), END]
    return tuple(tokens)


def _role(message: Json, place: int) -> str:
    role = message.get("role")
    if role not in _ROLES:
        message_ = f"Invalid value: {role!r}. Supported values are: {', '.join(map(repr, _ROLES))}."
        raise RefusalError(400, message_, code="invalid_value", param=f"messages[{place}].role")
    name = message.get("name")
    return f"{role} {name}" if name else str(role)


def _said(message: Json, place: int) -> list[int]:
    content, calls = message.get("content"), message.get("tool_calls")
    if content is None and not calls and message.get("role") != "assistant":
        message_ = f"Invalid value for 'content': expected a string, got null. (messages[{place}])"
        raise RefusalError(400, message_, code="invalid_type", param=f"messages[{place}].content")
    if message.get("role") == "tool" and not isinstance(message.get("tool_call_id"), str):
        missing = f"messages[{place}].tool_call_id"
        raise RefusalError(400, f"Missing parameter '{missing}'.", code="missing_required_parameter", param=missing)
    tokens = list(_content(content, place))
    for call in calls or []:
        tokens += encode(json.dumps(call.get("function", {})))
    return tokens


def _content(content: Any, place: int) -> list[int]:
    if content is None:
        return []
    if isinstance(content, str):
        return list(encode(content))
    if not isinstance(content, list):
        raise RefusalError(400, "Invalid type for 'content'.", code="invalid_type", param=f"messages[{place}].content")
    tokens: list[int] = []
    for number, part in enumerate(content):
        tokens += _part(part if isinstance(part, dict) else {}, f"messages[{place}].content[{number}]")
    return tokens


def _part(part: Json, where: str) -> list[int]:
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text", "refusal"):
        return list(encode(str(part.get("text", part.get("refusal", "")))))
    if kind in ("image_url", "input_image"):
        picture = part.get("image_url")
        inner = picture if isinstance(picture, dict) else {"url": picture, "detail": part.get("detail")}
        return _picture(str(inner.get("url", "")), inner.get("detail") or "auto", where)
    if kind in ("input_audio", "file", "input_file"):
        raise RefusalError(400, f"This model does not support {kind}.", code="unsupported_value", param=where)
    message = f"Invalid value: {kind!r}. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', 'file'."
    raise RefusalError(400, message, code="invalid_value", param=f"{where}.type")


def _picture(url: str, detail: str, where: str) -> list[int]:
    if url.startswith("http"):
        message = f"Error while downloading {url}."
        raise RefusalError(400, message, code="invalid_image_url", param=where)
    header, _, data = url.partition(",")
    try:
        bytes_ = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        bytes_ = b""
    if not header.startswith("data:image/") or not bytes_.startswith((b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF")):
        message = "You uploaded an unsupported image. Please make sure your image is valid."
        raise RefusalError(400, message, code="invalid_image_format", param=where)
    if detail not in _PICTURE:
        raise RefusalError(400, f"Invalid value: {detail!r}.", code="invalid_value", param=f"{where}.image_url.detail")
    return [IMAGE] * _PICTURE[detail]
