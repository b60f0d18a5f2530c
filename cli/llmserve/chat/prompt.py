"""The input line of the conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import Output

__all__ = ["reader"]


def reader(*, source: Input | None = None, screen: Output | None = None) -> Callable[[], str]:
    """A function that reads one message, with line editing and the history of this run.

    It raises EOFError on Ctrl-D, and on Ctrl-C where nothing is typed; else Ctrl-C empties the line.
    """
    from prompt_toolkit import PromptSession

    session: PromptSession[str] = PromptSession(
        "> ", prompt_continuation="  ", key_bindings=_keys(), enable_suspend=True, input=source, output=screen
    )
    return session.prompt


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=EOFError)

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
