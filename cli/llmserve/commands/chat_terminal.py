"""``llmserve chat`` at a terminal: what the conversation is made of, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmserve.chat import store
from llmserve.chat.completion import CommandCompleter
from llmserve.chat.prompt import reader
from llmserve.chat.session import Session
from llmserve.chat.state import Chat
from llmserve.chat.store import Saved, Saver
from llmserve.chat.terminal import converse
from llmserve.chat.tools.toolbox import Toolbox
from llmserve.endpoint.client import Client
from llmserve.endpoint.endpoint import Endpoint
from llmserve.output import Output
from llmserve.result import Result

__all__ = ["confirm", "terminal"]


def terminal(
    session: Session,
    client: Client,
    output: Output,
    *,
    earlier: Saved | None,
    name: str | None,
    save: bool,
    plain: bool,
    vi: bool,
    tools: Sequence[str],
    yes: bool,
    notes: Sequence[str],
) -> Result:
    """Converse until the user leaves, everything kept."""
    for note in notes:
        output.note(note)
    saver = Saver(client.endpoint.base_url, earlier.name if earlier else name) if save else None
    chat = Chat(
        session=session,
        endpoint=client.endpoint,
        out=output.out,
        saver=saver,
        connect=_connect,
        plain=plain,
        quiet=output.mode == "quiet",
    )
    chat.confirm, chat.approve = confirm, _approval(chat, yes=yes)
    box = Toolbox.asking(chat)
    try:
        for each in tools:
            box.add(each)
        session.tools = box if tools else None
        _resume(chat, earlier)
        session.changed = chat.keep
        converse(chat, reader(history=store.folder() / "history", completer=CommandCompleter(chat), vi=vi), output)
    finally:
        if isinstance(session.tools, Toolbox):
            session.tools.close()
        box.close()
        if chat.saver:
            chat.saver.close()
    if chat.saver and chat.saver.name and not chat.quiet and (session.turns or session.pending):
        output.note(f"Kept as {chat.saver.name}; llmserve chat --continue goes on with it.")
    return Result()


def _connect(endpoint: Endpoint) -> Client:
    return Client(endpoint)


def _resume(chat: Chat, earlier: Saved | None) -> None:
    if earlier is None:
        return
    earlier.into(chat.session)
    count = len(earlier.turns)
    chat.say(f"Going on with {earlier.name}: {count} question{'' if count == 1 else 's'} and what was answered.")
    if earlier.pending:
        chat.say("The last question has no answer yet: /retry asks it again.")


def _approval(chat: Chat, *, yes: bool) -> Callable[[str], bool]:
    def approve(call: str) -> bool:
        chat.beside(f"The model calls {call}")
        return yes or confirm("Run it?")

    return approve


def confirm(question: str) -> bool:
    """Yes is the default; Ctrl-C and Ctrl-D mean no."""
    from prompt_toolkit import prompt

    try:
        return prompt(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False
