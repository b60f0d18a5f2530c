"""Keys at the prompt, through prompt_toolkit itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from llmserve.chat.prompt import reader


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keyboard:
        yield keyboard


@pytest.fixture
def read(keyboard: PipeInput) -> Callable[[], str]:
    return reader(source=keyboard, screen=DummyOutput())


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("hello\r", "hello"),
        ("one\x1b\rtwo\r", "one\ntwo"),  # Alt-Enter
        ("\x1b[200~pasted\nlines\x1b[201~\r", "pasted\nlines"),
        ("dropped\x03kept\r", "kept"),  # Ctrl-C
        ("ab\x1b[D-\r", "a-b"),  # cursor left
    ],
)
def test_keys(keyboard: PipeInput, read: Callable[[], str], keys: str, line: str) -> None:
    keyboard.send_text(keys)
    assert read() == line


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_ctrl_c_and_ctrl_d_on_an_empty_line_leave(keyboard: PipeInput, read: Callable[[], str], key: str) -> None:
    keyboard.send_text(key)
    with pytest.raises(EOFError):
        read()


def test_history(keyboard: PipeInput, read: Callable[[], str]) -> None:
    keyboard.send_text("first\r")
    read()
    keyboard.send_text("\x1b[A\r")  # cursor up
    assert read() == "first"
