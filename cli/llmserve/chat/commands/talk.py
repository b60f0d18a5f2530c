"""Commands that change what was said."""

from __future__ import annotations

from llmserve.chat.commands.command import Command
from llmserve.chat.editor import edited
from llmserve.chat.state import Action, Ask, Chat, Retype
from llmserve.chat.turns import text_of

__all__ = ["COMMANDS"]


def _retry(chat: Chat, _: str) -> Action:
    if not (chat.session.pending or chat.session.turns):
        chat.say("Nothing was asked yet.")
        return None
    return Ask(None)


def _undo(chat: Chat, _: str) -> Action:
    question = chat.session.undo()
    if question is None:
        chat.say("There is nothing to take back.")
        return None
    line = " ".join(text_of(question).split())
    chat.say(f"Taken back: {line if len(line) <= 60 else line[:59] + '…'}")
    return None


def _edit(chat: Chat, argument: str) -> Action:
    """With a text: write a new message, beginning with it. Without: change the last question and ask it again."""
    last = chat.session.pending or (chat.session.turns[-1].question if chat.session.turns else None)
    begin = argument or (text_of(last) if last else "")
    text = edited(begin)
    if not text:
        chat.say("Nothing is sent.")
        return None
    if not argument and last is not None:
        if isinstance(last.get("content"), list):
            chat.attached += [(part["type"], part) for part in last["content"] if part.get("type") != "text"]
        chat.session.undo()
    return Ask(text)


def _clear(chat: Chat, _: str) -> Action:
    """The saved file keeps what was said: only a new one forgets."""
    if chat.saver:
        chat.saver.renew()
    chat.session.clear()
    chat.attached.clear()
    chat.say("A new conversation. The one before is kept: `llmserve chat sessions` lists it." if chat.saver else
             "The conversation is forgotten.")  # fmt: skip
    return None


def _system(chat: Chat, argument: str) -> Action:
    session = chat.session
    if not argument:
        chat.say(f"System prompt: {session.system}" if session.system else "There is no system prompt.")
        return None
    session.system = None if argument in ("none", "off") else argument
    session.changed()
    chat.say("The system prompt is set." if session.system else "The system prompt is gone.")
    return None


def _pull_back(chat: Chat, _: str) -> Action:
    question = chat.session.undo()
    return Retype(text_of(question)) if question else None


COMMANDS = {
    "retry": Command(_retry, "ask the last question again"),
    "undo": Command(_undo, "take back the last question and its answer"),
    "redo": Command(_pull_back, "take back the last question and change it at the prompt"),
    "edit": Command(_edit, "change the last question in $EDITOR, or write one that begins with TEXT", "[TEXT]"),
    "clear": Command(_clear, "begin anew"),
    "system": Command(_system, "show or set the system prompt; `none` removes it", "[TEXT]"),
}
