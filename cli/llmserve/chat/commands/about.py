"""Commands that show what went over the wire, and how to send it without llmserve."""

from __future__ import annotations

import json

from llmserve.chat import export
from llmserve.chat.commands.command import Command
from llmserve.chat.state import Action, Chat
from llmserve.errors import UsageError
from llmserve.output.text import escaped

__all__ = ["COMMANDS"]

_MOST_LINES = 200


def _debug(chat: Chat, argument: str) -> Action:
    if chat.session.exchange is None:
        raise UsageError("Nothing was sent yet.")
    body, raw = chat.session.exchange
    lines = bytes(raw).decode("utf-8", "replace").splitlines()
    most = None if argument == "all" else _MOST_LINES
    more = [] if most is None or len(lines) <= most else [f"… {len(lines) - most} more lines; /debug all"]
    url = f"{chat.endpoint.base_url}/chat/completions"
    text = escaped(json.dumps(body, ensure_ascii=False, indent=2))
    shown = [chat.endpoint.redacted(escaped(line)) for line in lines[:most]]
    chat.show("\n".join([f"POST {url}", text, "", *shown, *more]))
    return None


def _curl(chat: Chat, argument: str) -> Action:
    if not (chat.session.turns or chat.session.pending):
        raise UsageError("Ask something first.")
    curl = export.as_curl(chat.session, chat.endpoint)
    python = export.as_python(chat.session, chat.endpoint)
    chat.show({"curl": curl, "python": python}.get(argument, f"{curl}\n\n{python}"))
    return None


COMMANDS = {
    "debug": Command(_debug, "show the last request and the events that came back, as they were", "[all]"),
    "curl": Command(_curl, "show the conversation as a curl command and as Python", "[curl|python]"),
}
