"""JSON of servers to records. Nothing in it is taken for granted: nulls, missing keys and foreign types are common."""

from __future__ import annotations

import json
from typing import Any

from llmserve.endpoint.types import Completion, Delta, ServedModel, ToolFragment, Usage

__all__ = ["chunk", "completion", "load", "models"]


def load(text: str | bytes) -> Any:
    """Parsed JSON.

    Raises:
        ValueError: it is none, or nested too deep for the parser.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def chunk(data: dict[str, Any]) -> list[Delta | Usage]:
    """The pieces in one ``chat.completion.chunk``: a delta for each choice, then the usage if it is there."""
    pieces: list[Delta | Usage] = [_delta(choice) for choice in _dicts(data.get("choices"))]
    usage = _usage(data.get("usage"))
    return [*pieces, usage] if usage else pieces


def completion(data: dict[str, Any]) -> Completion | None:
    """The first choice of a ``chat.completion``, or None if the object has no choice with a message."""
    for choice in _dicts(data.get("choices")):
        if isinstance(choice.get("message"), dict):
            delta = _delta(choice)
            return Completion(
                content=delta.content, reasoning=delta.reasoning, tool_calls=delta.tool_calls,
                finish_reason=delta.finish_reason, usage=_usage(data.get("usage")), model=_text(data.get("model")),
            )  # fmt: skip
    return None


def models(data: Any) -> list[ServedModel] | None:
    """The lines of ``/models``, a null list being an empty one; None if this is no list of models."""
    items = data["data"] if isinstance(data, dict) and "data" in data else data
    if items is not None and not isinstance(items, list):
        return None
    return [
        ServedModel(id=item["id"], owned_by=_text(item.get("owned_by")), context=_context(item))
        for item in _dicts(items)
        if isinstance(item.get("id"), str)
    ]


def _context(model: dict[str, Any]) -> int | None:
    """vLLM and SGLang say ``max_model_len``, llama.cpp ``meta.n_ctx``."""
    meta = model.get("meta")
    return _count(model.get("max_model_len")) or (_count(meta.get("n_ctx")) if isinstance(meta, dict) else None)


def _delta(choice: dict[str, Any]) -> Delta:
    said = choice.get("delta")
    if not isinstance(said, dict):
        said = choice.get("message")
    said = said if isinstance(said, dict) else {}
    content, thought = _content(said.get("content"))
    return Delta(
        content=content,
        # SGLang, DeepSeek and llama.cpp say reasoning_content, vLLM and OpenRouter reasoning, some say it twice
        reasoning=_text(said.get("reasoning_content")) or _text(said.get("reasoning")) or thought,
        role=_text(said.get("role")) or None,
        tool_calls=tuple(_fragment(call) for call in _dicts(said.get("tool_calls"))),
        finish_reason=_text(choice.get("finish_reason")) or None,
        index=_count(choice.get("index")) or 0,
    )


def _content(value: Any) -> tuple[str, str]:
    """Text and thoughts of a content that is a string, null, or a list of parts (as Mistral sends)."""
    text, thought = _text(value), ""
    for part in _dicts(value):
        text += _text(part.get("text"))
        inner = part.get("thinking")
        thought += _text(inner) + "".join(_text(piece.get("text")) for piece in _dicts(inner))
    return text, thought


def _fragment(call: dict[str, Any]) -> ToolFragment:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    return ToolFragment(
        index=_count(call.get("index")),
        id=_text(call.get("id")) or None,
        name=_text(function.get("name")) or None,
        arguments=_text(function.get("arguments")),
    )


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion_, total = (_count(value.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if total is None and prompt is not None and completion_ is not None:
        total = prompt + completion_
    usage = Usage(
        prompt=prompt,
        completion=completion_,
        total=total,
        cached=_detail(value, "prompt_tokens_details", "cached_tokens"),
        reasoning=_detail(value, "completion_tokens_details", "reasoning_tokens"),
    )
    return usage if usage != Usage() else None


def _detail(usage: dict[str, Any], group: str, name: str) -> int | None:
    details = usage.get(group)
    return _count(details.get(name)) if isinstance(details, dict) else _count(usage.get(name))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
