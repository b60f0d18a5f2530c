"""Completion at the prompt: commands, and what each of them takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from llmserve.chat import fields
from llmserve.chat.commands import COMMANDS
from llmserve.chat.state import Chat

__all__ = ["CommandCompleter"]


class CommandCompleter(Completer):
    """Only lines that begin with a slash are completed: the rest is prose."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        line = document.text_before_cursor
        if not line.startswith("/") or "\n" in line:
            return
        name, blank, rest = line.removeprefix("/").partition(" ")
        if not blank:
            yield from _beginning(name, COMMANDS)
        elif name in COMMANDS and COMMANDS[name].paths:
            yield from self._paths.get_completions(Document(rest, len(rest)), complete_event)
        elif " " not in rest:
            yield from _beginning(rest, self._words(name))

    def _words(self, name: str) -> Iterable[str]:
        if name in ("model", "compare"):
            return self._chat.models
        return {"set": fields.FIELDS, "think": ("show", "fold"), "curl": ("curl", "python")}.get(name, ())


def _beginning(typed: str, words: Iterable[str]) -> Iterator[Completion]:
    return (Completion(word, start_position=-len(typed)) for word in words if word.startswith(typed))
