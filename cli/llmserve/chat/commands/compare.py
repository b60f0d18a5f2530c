"""The same question to two endpoints, or to two models of one."""

from __future__ import annotations

from llmserve.chat.commands.command import Command
from llmserve.chat.state import Action, Chat
from llmserve.errors import UsageError

__all__ = ["COMMANDS"]


def _compare(chat: Chat, argument: str) -> Action:
    target, _, question = argument.partition(" ")
    if not target:
        raise UsageError("Compare with what?", hint="/compare URL-or-MODEL [QUESTION]")
    from llmserve.chat import side_by_side

    side_by_side.compare(chat, target, question.strip())
    return None


COMMANDS = {
    "compare": Command(_compare, "the last question, or a new one, to another endpoint or model, side by side",
                       "URL-or-MODEL [TEXT]"),
}  # fmt: skip
