"""What servers say when they refuse: one record out of all the dialects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from llmserve.endpoint.wire import load
from llmserve.output.text import printable

__all__ = ["ServerError", "of_object", "parse"]

MAX_SENTENCE = 600

_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ServerError:
    """The server's own sentence (one line, printable, possibly empty), its type, and its code as text."""

    message: str = ""
    type: str = ""
    code: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status that an error inside a stream carries as its code (SGLang, vLLM and llama.cpp do that)."""
        return int(self.code) if re.fullmatch(r"[45][0-9]{2}", self.code) else None


def parse(body: bytes) -> ServerError:
    """The error in an answer's body: JSON of any dialect, HTML, or plain text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        return of_object(load(text))
    except ValueError:
        return ServerError(message=_line(_from_html(text) if text.startswith("<") else text))


def of_object(data: Any) -> ServerError:
    """The error in a JSON value.

    ``{"error": {"message", "type", "code"}}`` OpenAI, vLLM, llama.cpp; ``{"object": "error", "message", ...}`` SGLang;
    ``{"detail": ...}`` FastAPI; ``{"error": "..."}`` Ollama, TGI; ``{"message": "..."}`` gateways.
    """
    if not isinstance(data, dict):
        return ServerError(message=_line(_flat(data)))
    inner = data.get("error")
    fields = inner if isinstance(inner, dict) else data
    message = next((fields[key] for key in ("message", "detail", "error", "errors", "msg") if fields.get(key)), "")
    return ServerError(
        message=_line(_flat(message)),
        type=_line(_flat(fields.get("type") or data.get("error_type"))),
        code=_line(_flat(fields.get("code"))),
    )


def _flat(value: Any, depth: int = 5) -> str:
    if isinstance(value, dict) and depth:
        place = ".".join(str(part) for part in value["loc"]) if isinstance(value.get("loc"), list) else ""
        keys = ("msg", "message", "error", "detail")
        said = next((_flat(value[key], depth - 1) for key in keys if value.get(key)), "")
        return f"{place}: {said}" if place else said
    if isinstance(value, list) and depth:
        return "; ".join(filter(None, (_flat(item, depth - 1) for item in value)))
    return str(value) if isinstance(value, (str, int, float)) else ""


def _from_html(text: str) -> str:
    title = _TITLE.search(text)
    return unescape(title[1] if title else _TAGS.sub(" ", text))


def _line(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= MAX_SENTENCE else line[:MAX_SENTENCE] + " …"
