"""``llmserve chat -m``: one question, one answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmserve.chat.once import once
from llmserve.chat.session import Session
from llmserve.endpoint.client import Client
from llmserve.endpoint.types import Message
from llmserve.output import Output
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.chat.store import Saved

__all__ = ["answer"]


def answer(
    session: Session,
    question: str | Message,
    output: Output,
    notes: tuple[str, ...],
    *,
    earlier: Saved | None,
    name: str | None,
    plain: bool,
    schema: dict[str, Any] | None,
    tools: Sequence[str],
    yes: bool,
) -> Result:
    """Ask once. It is kept only as part of a conversation that was named."""
    endpoint = session.client.endpoint if isinstance(session.client, Client) else None
    saver = None
    if earlier or name:
        from llmserve.chat.store import Saver

        saver = Saver(endpoint.base_url if endpoint else "", earlier.name if earlier else name)
        if earlier:
            earlier.into(session)
        session.changed = lambda: saver.save(session)
    try:
        with _Tools(session, tools, output, yes=yes):
            return once(session, question, output, notes, plain=plain, schema=schema,
                        price=endpoint.price if endpoint else None)  # fmt: skip
    finally:
        if saver:
            saver.close()


class _Tools:
    """The tools that are offered, for as long as the answer takes."""

    def __init__(self, session: Session, tools: Sequence[str], output: Output, *, yes: bool) -> None:
        self._session, self._tools, self._output, self._yes = session, tools, output, yes

    def __enter__(self) -> None:
        if not self._tools:
            return
        from llmserve.chat.tools.toolbox import Toolbox

        box = Toolbox(self._approval(), self._output.note)
        self._session.tools = box
        for each in self._tools:
            box.add(each)

    def __exit__(self, *_: object) -> None:
        if not self._tools:
            return
        from llmserve.chat.tools.toolbox import Toolbox

        if isinstance(self._session.tools, Toolbox):
            self._session.tools.close()

    def _approval(self) -> Callable[[str], bool]:
        def approve(call: str) -> bool:
            self._output.note(f"The model calls {call}")
            if self._yes:
                return True
            if self._output.interactive and sys.stdin and sys.stdin.isatty():
                from llmserve.commands.chat_terminal import confirm

                return confirm("Run it?")
            self._output.note("Nobody can be asked here: --yes runs it.")
            return False

        return approve
