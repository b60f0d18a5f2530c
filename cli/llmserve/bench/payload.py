"""Bodies of requests for each API, and the bytes they are sent as."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmserve import __version__
from llmserve.bench.http import request
from llmserve.errors import UsageError

__all__ = ["APIS", "Form", "Message"]

Message = dict[str, Any]

APIS = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """How this endpoint wants to be asked.

    ``limit`` is the name of the field for the most tokens of an answer, ``ignore_eos`` whether the server takes that
    field, ``extra`` is merged into every body.
    """

    base_url: str
    api: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    more_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    limit: str = "max_tokens"
    ignore_eos: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)

    def payload(self, messages: list[Message], output_tokens: int) -> bytes:
        """The whole request. For APIs without messages, their texts."""
        body = json.dumps(self.body(messages, output_tokens), ensure_ascii=False, separators=(",", ":")).encode()
        return request(self.base_url, APIS[self.api], body, self.headers())

    def body(self, messages: list[Message], output_tokens: int) -> dict[str, Any]:
        if self.api == "embeddings":
            return {"model": self.model, "input": _text(messages), **self.extra}
        if self.api == "responses":
            body = {"model": self.model, "input": messages, "max_output_tokens": output_tokens, "stream": True}
        else:
            asked = {"messages": messages} if self.api == "chat" else {"prompt": _text(messages)}
            body = {"model": self.model, **asked, self.limit: output_tokens, "stream": True,
                    "stream_options": {"include_usage": True}}  # fmt: skip
        if self.ignore_eos:
            body["ignore_eos"] = True
        return {**body, **self.extra}

    def headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"llmserve/{__version__}", "Accept": "*/*"}
        key = (self.api_key or "").strip()
        if key and (not key.isascii() or not key.isprintable() or " " in key):
            raise UsageError("The API key holds characters that no key has.", hint="Check OPENAI_API_KEY or --api-key.")
        return {**headers, **({"Authorization": f"Bearer {key}"} if key else {}), **dict(self.more_headers)}


def _text(messages: list[Message]) -> str:
    return "\n".join(message["content"] for message in messages if isinstance(message.get("content"), str))
