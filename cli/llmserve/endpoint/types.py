"""The vocabulary of a chat: what is asked, and what comes back in pieces or whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = [
    "ChatRequest", "Completion", "Delta", "Message", "ServedModel", "StreamEnd", "StreamEvent", "ToolFragment", "Usage",
]  # fmt: skip

Message: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A body for ``/chat/completions``. ``sampling`` holds fields that are sent as they stand (``max_tokens`` ...)."""

    model: str
    messages: tuple[Message, ...]
    sampling: dict[str, Any] = field(default_factory=dict)
    include_usage: bool = True

    def body(self, *, stream: bool) -> dict[str, Any]:
        """The JSON object of the request; ``stream_options`` only where it is allowed, with ``stream``."""
        body: dict[str, Any] = {"model": self.model, "messages": list(self.messages), **self.sampling}
        if stream:
            body["stream"] = True
        if stream and self.include_usage:
            body["stream_options"] = {"include_usage": True}
        return body


@dataclass(frozen=True, kw_only=True)
class ToolFragment:
    """A piece of a tool call; ``arguments`` of the same ``index`` are to be joined. ``index`` is None if not sent."""

    index: int | None = None
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """One piece of one choice of a streamed answer. Absent and null texts are empty strings."""

    content: str = ""
    reasoning: str = ""
    role: str | None = None
    tool_calls: tuple[ToolFragment, ...] = ()
    finish_reason: str | None = None
    index: int = 0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens, as the server counted them; None is what it did not say. ``total`` is the sum where it is not sent."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, kw_only=True)
class StreamEnd:
    """The answer ended in order: with a finish reason, or with ``[DONE]`` or a whole body (``done``), or both."""

    finish_reason: str | None = None
    done: bool = True


StreamEvent: TypeAlias = Delta | Usage | StreamEnd


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A whole answer that was not streamed: its first choice."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolFragment, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A line of ``/models``. ``context`` is in tokens, where the server says it."""

    id: str
    owned_by: str = ""
    context: int | None = None
