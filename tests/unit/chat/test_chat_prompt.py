"""Keys at the prompt, through prompt_toolkit itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from llmserve.chat.completion import CommandCompleter
from llmserve.chat.prompt import reader
from tests.unit.chat.talk import conversing


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keyboard:
        yield keyboard


@pytest.fixture
def read(keyboard: PipeInput) -> Callable[[], str]:
    return partial(reader(source=keyboard, screen=DummyOutput()), "")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("hello\r", "hello"),
        ("one\x1b\rtwo\r", "one\ntwo"),  # Alt-Enter
        ("\x1b[200~pasted\nlines\x1b[201~\r", "pasted\nlines"),
        ("dropped\x03kept\r", "kept"),  # Ctrl-C
        ("ab\x1b[D-\r", "a-b"),  # cursor left
        ('"""one\rtwo"""\r', "one\ntwo"),  # Enter within three quotes
        ('"""\ra\r\rb\r"""\r', "a\n\nb"),
        ('"""x\r', None),  # still open: the reader waits
    ],
)
def test_keys(keyboard: PipeInput, read: Callable[[], str], keys: str, line: str | None) -> None:
    keyboard.send_text(keys)
    if line is None:
        keyboard.send_text('y"""\r')
        line = "x\ny"
    assert read() == line


def completed(line: str) -> list[str]:
    completer = CommandCompleter(conversing(models=["tiny", "big"]))
    found = completer.get_completions(Document(line, len(line)), CompleteEvent(completion_requested=True))
    return [line[: len(line) + each.start_position] + each.text for each in found]


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("/he", ["/help"]),
        ("/set temp", ["/set temperature"]),
        ("/model b", ["/model big"]),
        ("/think ", ["/think show", "/think fold"]),
        ("/system x", []),
        ("not a /he", []),
        ("/help\n/he", []),
    ],
)
def test_completion(typed: str, lines: list[str]) -> None:
    assert completed(typed) == lines


def test_completion_of_paths(tmp_path: Path) -> None:
    (tmp_path / "photo of me.png").touch()
    assert completed(f"/image {tmp_path}/pho") == [f"/image {tmp_path}/photo of me.png"]


def test_vi_keys(keyboard: PipeInput) -> None:
    keyboard.send_text("abc\x1b0iX\r")
    assert reader(source=keyboard, screen=DummyOutput(), vi=True)("") == "Xabc"


def test_a_text_to_change(keyboard: PipeInput, read: Callable[[], str]) -> None:
    keyboard.send_text("!\r")
    assert reader(source=keyboard, screen=DummyOutput())("hello") == "hello!"


def test_history_is_kept_for_its_owner_alone(keyboard: PipeInput, tmp_path: Path) -> None:
    path = tmp_path / "new" / "history"
    keyboard.send_text("first\r")
    reader(source=keyboard, screen=DummyOutput(), history=path)("")
    assert path.stat().st_mode & 0o077 == 0
    keyboard.send_text("\x1b[A\r")
    assert reader(source=keyboard, screen=DummyOutput(), history=path)("") == "first"


@pytest.mark.parametrize(("key", "what"), [("\x03", KeyboardInterrupt), ("\x04", EOFError)])
def test_ctrl_c_and_ctrl_d_on_an_empty_line(
    keyboard: PipeInput, read: Callable[[], str], key: str, what: type[BaseException]
) -> None:
    keyboard.send_text(key)
    with pytest.raises(what):
        read()


def test_history(keyboard: PipeInput, read: Callable[[], str]) -> None:
    keyboard.send_text("first\r")
    read()
    keyboard.send_text("\x1b[A\r")  # cursor up
    assert read() == "first"
