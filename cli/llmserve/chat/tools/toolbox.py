"""All tools of a conversation. Each call is shown, and run only if the user says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmserve.chat.answer import ToolCall
from llmserve.chat.tools.source import Source
from llmserve.errors import UsageError

if TYPE_CHECKING:
    from llmserve.chat.state import Chat

__all__ = ["Toolbox"]

_MOST_RESULT = 64 * 1024  # characters; a tool that prints a whole log fills the context


class Toolbox:
    """``consent`` is asked with the call as one line; ``say`` shows what happened."""

    def __init__(self, consent: Callable[[str], bool], say: Callable[[str], None]) -> None:
        self._consent = consent
        self._say = say
        self._sources: list[Source] = []
        self._by_name: dict[str, Source] = {}

    @classmethod
    def asking(cls, chat: Chat) -> Toolbox:
        return cls(chat.approve, chat.beside)

    @property
    def definitions(self) -> Sequence[dict[str, Any]]:
        return [tool for source in self._sources for tool in source.definitions]

    def add(self, what: str) -> list[str]:
        """Offer the tools of a Python file or of an MCP server, and return their names.

        Raises:
            LlmserveError: it cannot be, or has a name that is taken.
        """
        source = _source(what)
        names = [str(tool["function"]["name"]) for tool in source.definitions]
        taken = [name for name in names if name in self._by_name]
        if taken:
            source.close()
            raise UsageError(f"There is a tool called {taken[0]} already.", hint="Offer only one of them.")
        self._sources.append(source)
        self._by_name |= dict.fromkeys(names, source)
        return names

    def call(self, call: ToolCall) -> str:
        """The result, or a sentence for the model that says why there is none."""
        source = self._by_name.get(call.name)
        if source is None:
            self._say(f"The model wants a tool that is not there: {call.name}")
            return f"Error: there is no tool called {call.name}."
        arguments = _arguments(call.arguments)
        if arguments is None:
            self._say(f"The model called {call.name} with what is no JSON object: {call.arguments[:200]}")
            return "Error: the arguments are not a JSON object."
        if not self._consent(_line(call.name, arguments)):
            self._say("Not run.")
            return "Error: the user does not want this call."
        return self._result(source, call.name, arguments)

    def close(self) -> None:
        for source in self._sources:
            source.close()
        self._sources, self._by_name = [], {}

    def _result(self, source: Source, name: str, arguments: dict[str, Any]) -> str:
        try:
            text = source.call(name, arguments)
        except Exception as error:  # the model gets to know, and may try otherwise
            text = f"Error: {type(error).__name__}: {error}"
        short = " ".join(text.split())
        self._say(f"  → {short if len(short) <= 200 else short[:199] + '…'}")
        return text if len(text) <= _MOST_RESULT else f"{text[:_MOST_RESULT]}\n[cut: {len(text)} characters in all]"


def _source(what: str) -> Source:
    if what.endswith(".py") and " " not in what.strip():
        from llmserve.chat.tools.functions import Functions

        return Functions(Path(what).expanduser())
    from llmserve.chat.tools.mcp_server import McpServer

    return McpServer(what)


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _line(name: str, arguments: dict[str, Any]) -> str:
    inner = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    return f"{name}({inner})"
