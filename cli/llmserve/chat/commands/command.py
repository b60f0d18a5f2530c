"""What a command is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmserve.chat.state import Action, Chat

__all__ = ["Command"]


@dataclass(frozen=True)
class Command:
    """``run`` gets the rest of the line. ``takes`` is shown behind the name; ``paths``: it is the name of a file."""

    run: Callable[[Chat, str], Action]
    help: str
    takes: str = ""
    paths: bool = False
