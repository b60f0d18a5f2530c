"""The commands of a conversation: a table of small functions."""

from __future__ import annotations

import difflib

from llmserve.chat.commands import about, compare, files, settings, talk
from llmserve.chat.commands.command import Command
from llmserve.chat.state import Action, Chat, Leave
from llmserve.errors import UsageError

__all__ = ["COMMANDS", "run"]


def _help(chat: Chat, _: str) -> Action:
    width = max(len(f"/{name} {command.takes}") for name, command in COMMANDS.items())
    lines = [f"{f'/{name} {command.takes}':<{width}}  {command.help}" for name, command in COMMANDS.items()]
    chat.show("\n".join([*lines, "", _KEYS]))
    return None


def _quit(_chat: Chat, _: str) -> Action:
    return Leave()


_KEYS = """\
Alt-Enter begins a new line, as Enter does within three double quotes. Ctrl-R searches what you asked before,
Ctrl-X Ctrl-E opens your editor. Ctrl-C stops an answer and keeps what has come; at an empty prompt it leaves at the
second time, Ctrl-D at once."""

COMMANDS: dict[str, Command] = {
    "help": Command(_help, "show this"),
    **talk.COMMANDS,
    **settings.COMMANDS,
    **files.COMMANDS,
    **about.COMMANDS,
    **compare.COMMANDS,
    "quit": Command(_quit, "leave; the conversation is kept"),
}

_ALIASES = {"?": "help", "exit": "quit", "bye": "quit", "regenerate": "retry", "q": "quit", "models": "model"}


def run(chat: Chat, line: str) -> Action:
    """Run a line that begins with a slash.

    Raises:
        LlmserveError: there is no such command, or it cannot do what is asked; a sentence for the user.
    """
    if "\0" in line:
        raise UsageError("There is a null character in that line.")
    name, _, argument = line.removeprefix("/").partition(" ")
    name = _ALIASES.get(name, name)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean /{near[0]}? /help lists them." if near else "/help lists them."
        raise UsageError(f"There is no command /{name}.", hint=hint)
    return COMMANDS[name].run(chat, argument.strip())
