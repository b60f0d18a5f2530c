"""Commands that change how it is asked, and how answers are shown."""

from __future__ import annotations

import difflib
import json

from llmserve.chat import fields
from llmserve.chat.commands.command import Command
from llmserve.chat.state import Action, Chat
from llmserve.endpoint.types import Delta
from llmserve.errors import UsageError

__all__ = ["COMMANDS"]


def _model(chat: Chat, argument: str) -> Action:
    """Without an argument: a list. With a number, a name or a part of one: that model."""
    chat.models = [model.id for model in chat.session.client.models()]
    if not argument:
        listed = (f"{'*' if name == chat.session.model else ' '} {number:>3}  {name}"
                  for number, name in enumerate(chat.models, 1))  # fmt: skip
        chat.show("\n".join([*listed, "", "/model NAME or NUMBER changes it."]))
        return None
    chat.session.model = _picked(chat.models, argument)
    chat.session.changed()
    chat.say(f"Now asking {chat.session.model}.")
    return None


def _picked(models: list[str], wanted: str) -> str:
    if wanted in models:
        return wanted
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:6]) <= len(models):
        return models[int(wanted) - 1]
    parts = [name for name in models if wanted.lower() in name.lower()]
    if len(parts) == 1:
        return parts[0]
    near = parts[:5] or difflib.get_close_matches(wanted, models, n=3)
    raise UsageError(
        f"{'Several models have' if parts else 'No model has'} {wanted!r} in its name.",
        hint=f"Did you mean {' or '.join(near)}?" if near else "/model lists them.",
    )


def _set(chat: Chat, argument: str) -> Action:
    name, _, value = argument.partition(" ")
    sampling = chat.session.sampling
    if not name:
        chat.show(
            f"Fields: {', '.join(fields.FIELDS)}, or any other with JSON as its value. Now: {json.dumps(sampling)}"
        )
        return None
    if value.strip():
        sampling[name] = fields.parse(name, value.strip())
        chat.say(f"{name} = {json.dumps(sampling[name], ensure_ascii=False)}")
    elif name in sampling:
        del sampling[name]
        chat.say(f"{name} is left to the server.")
    else:
        chat.say(f"{name} is not set.")
    chat.session.changed()
    return None


def _show(chat: Chat, _: str) -> Action:
    session = chat.session
    asked = len(session.turns)
    lines = [
        f"Endpoint  {chat.endpoint.base_url}",
        f"Model     {session.model}",
        f"System    {session.system or '–'}",
        f"Fields    {json.dumps(session.sampling, ensure_ascii=False) if session.sampling else '–'}",
        f"Tools     {_tool_names(chat) or '–'}",
        f"Asked     {asked} question{'' if asked == 1 else 's'}{', one more is unanswered' if session.pending else ''}",
        f"Saved as  {chat.saver.name or '–' if chat.saver else '– (not saved)'}",
    ]
    chat.show("\n".join(lines))
    return None


def _think(chat: Chat, argument: str) -> Action:
    if argument in ("hide", "fold", "off"):
        chat.fold = True
        chat.say("Thoughts are folded.")
        return None
    if argument not in ("", "show", "on"):
        raise UsageError(f"/think takes show or fold, not {argument!r}.")
    chat.fold = False
    last = next((turn.reasoning for turn in reversed(chat.session.turns) if turn.reasoning), "")
    if not last:
        chat.say("Thoughts will be shown.")
        return None
    from llmserve.chat.view import view

    shown = view(chat.out, plain=chat.plain, fold=False)
    shown.show(Delta(reasoning=last))
    shown.end()
    return None


def _tools(chat: Chat, argument: str) -> Action:
    if argument:
        from llmserve.chat.tools.toolbox import Toolbox

        box = chat.session.tools if isinstance(chat.session.tools, Toolbox) else Toolbox.asking(chat)
        added = box.add(argument)
        chat.session.tools = box
        chat.say(f"Added: {', '.join(added)}.")
        return None
    chat.show(
        _tool_names(chat) or "No tools. /tools FILE.py or /tools COMMAND (an MCP server) offers some to the model."
    )
    return None


def _tool_names(chat: Chat) -> str:
    offered = chat.session.tools.definitions if chat.session.tools else ()
    return ", ".join(str(tool["function"]["name"]) for tool in offered)


COMMANDS = {
    "model": Command(_model, "list the models, or change to one", "[NAME]"),
    "set": Command(_set, "set a field of the request; without a value it is left to the server", "[FIELD [VALUE]]"),
    "show": Command(_show, "show endpoint, model, system prompt, fields, and where it is saved"),
    "think": Command(_think, "unfold the last thoughts and those to come, or fold them", "[show|fold]"),
    "tools": Command(_tools, "list the tools, or offer those of a Python file or an MCP server", "[FILE.py|COMMAND]"),
}
