"""The input line of the conversation: several lines, history, completion, emacs and vi keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import Output

__all__ = ["Reader", "reader"]

QUOTES = '"""'

Reader = Callable[[str], str]


def reader(
    *,
    history: Path | None = None,
    completer: Completer | None = None,
    vi: bool = False,
    source: Input | None = None,
    screen: Output | None = None,
) -> Reader:
    """A function that reads one message, which begins as the text that it is given.

    ``history`` is a file of what was asked in all conversations. The function raises EOFError on Ctrl-D, and
    KeyboardInterrupt on Ctrl-C where nothing is typed; else Ctrl-C empties the line.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.enums import EditingMode

    session: PromptSession[str] = PromptSession(
        "> ",
        prompt_continuation="  ",
        key_bindings=_keys(),
        editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
        enable_suspend=True,
        enable_open_in_editor=True,
        tempfile_suffix=".md",
        history=_history(history),
        completer=completer,
        complete_while_typing=False,
        input=source,
        output=screen,
    )

    def read(begin: str = "") -> str:
        return _unquoted(session.prompt(default=begin))

    return read


def _history(path: Path | None) -> History:
    """What was asked may be private: the file is for its owner alone."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        return FileHistory(str(path))
    except OSError:
        return InMemoryHistory()


def _unquoted(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith(QUOTES) and stripped.endswith(QUOTES) and len(stripped) >= 2 * len(QUOTES):
        return stripped[len(QUOTES) : -len(QUOTES)].strip("\n")
    return text


def _open(text: str) -> bool:
    """Whether three quotes were opened and not closed."""
    stripped = text.strip()
    if not stripped.startswith(QUOTES):
        return False
    return not (stripped.endswith(QUOTES) and len(stripped) >= 2 * len(QUOTES))


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None
        elif _open(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    return keys
