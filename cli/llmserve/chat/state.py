"""What a conversation at a terminal is made of; every command gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from llmserve.chat.printer import aside
from llmserve.chat.session import Client, Session
from llmserve.chat.store import Saver
from llmserve.chat.text import clean
from llmserve.endpoint.endpoint import Endpoint

__all__ = ["Action", "Ask", "Chat", "Leave", "Retype"]


@dataclass(frozen=True)
class Ask:
    """Send this; None sends the last question again."""

    text: str | None


@dataclass(frozen=True)
class Retype:
    """Let the user change this at the prompt."""

    text: str


@dataclass(frozen=True)
class Leave:
    """End the conversation."""


Action = Ask | Retype | Leave | None


@dataclass(kw_only=True)
class Chat:
    """``connect`` gives a client for an address, for other endpoints; ``attached`` goes with the next question.
    ``confirm`` asks a question, ``approve`` whether a tool may be called.
    ``pause_view`` ends what is being drawn of an answer, before something else is written."""

    session: Session
    endpoint: Endpoint
    out: TextIO
    saver: Saver | None = None
    connect: Callable[[Endpoint], Client] | None = None
    plain: bool = False
    fold: bool = True
    quiet: bool = False
    confirm: Callable[[str], bool] = lambda _: False
    approve: Callable[[str], bool] = lambda _: False
    attached: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    unkept: bool = False
    pause_view: Callable[[], None] = lambda: None

    def say(self, text: str) -> None:
        """Something that is not the model's: dimmed, and left out where only answers are wanted."""
        if not self.quiet:
            aside(self.out, text)

    def keep(self) -> None:
        """Write the conversation to disk. A full disk is said once, and ends nothing."""
        try:
            if self.saver:
                self.saver.save(self.session)
            self.unkept = False
        except OSError as error:
            if not self.unkept:
                self.beside(f"The conversation cannot be kept: {error.strerror}. /save FILE writes it elsewhere.")
            self.unkept = True

    def beside(self, text: str) -> None:
        """The same, perhaps in the middle of an answer."""
        self.pause_view()
        self.say(text)

    def show(self, text: str) -> None:
        """What was asked for by a command."""
        self.out.write(clean(text).rstrip("\n") + "\n")
        self.out.flush()
