from __future__ import annotations

import io

import pytest

from llmserve.chat.printer import Printer, aside
from llmserve.endpoint.types import Delta


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _a_terminal_with_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def printed(*texts: str) -> str:
    out = io.StringIO()
    printer = Printer(out)
    for text in texts:
        printer.show(Delta(content=text))
    printer.end()
    return out.getvalue()


@pytest.mark.parametrize(
    ("texts", "output"),
    [
        (["a"], "a\n"),
        (["a\n"], "a\n"),
        (["a", "\n", "\n\n"], "a\n"),
        (["a\n", "\nb"], "a\n\nb\n"),
        (["a", "\n", "", "b"], "a\nb\n"),
        (["\n", "\na"], "\n\na\n"),
        (["a\r\n\r\n"], "a\n"),
        (["a  "], "a  \n"),
        ([], ""),
        (["\n\n"], ""),
        (["a\ud83d"], "a\ufffd\n"),
    ],
)
def test_an_answer_ends_in_one_newline(texts: list[str], output: str) -> None:
    assert printed(*texts) == output


def test_each_piece_is_written_when_it_comes() -> None:
    out = io.StringIO()
    printer = Printer(out)
    printer.show(Delta(content="a"))
    assert out.getvalue() == "a"


def test_thoughts_are_dimmed_and_apart() -> None:
    out = Terminal()
    printer = Printer(out, out)
    for delta in (Delta(reasoning="hm"), Delta(reasoning="\x1b[1m!\n\n"), Delta(content="a"), Delta(content="b")):
        printer.show(delta)
    printer.end()
    assert out.getvalue() == "\x1b[2mhm!\x1b[0m\nab\n"


def test_thoughts_between_texts() -> None:
    out = io.StringIO()
    printer = Printer(out, out)
    for delta in (Delta(content="a"), Delta(reasoning="hm"), Delta(content="b")):
        printer.show(delta)
    printer.end()
    assert out.getvalue() == "a\nhm\nb\n"


def test_styles_are_closed_when_the_answer_stops_in_a_thought() -> None:
    out = Terminal()
    printer = Printer(out, out)
    printer.show(Delta(reasoning="hm"))
    printer.end()
    assert out.getvalue() == "\x1b[2mhm\x1b[0m\n"


def test_thoughts_on_another_stream_leave_the_text_alone() -> None:
    out, err = io.StringIO(), Terminal()
    printer = Printer(out, err)
    for delta in (Delta(content="a"), Delta(reasoning="hm"), Delta(content="b")):
        printer.show(delta)
    printer.end()
    assert (out.getvalue(), err.getvalue()) == ("ab\n", "\x1b[2mhm\x1b[0m\n")


def test_thoughts_are_not_printed_where_nobody_looks() -> None:
    out = io.StringIO()
    printer = Printer(out)
    printer.show(Delta(reasoning="hm", content="a"))
    printer.end()
    assert out.getvalue() == "a\n"


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_styles_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    out = Terminal()
    aside(out, "a\x1b[31m")
    assert out.getvalue() == "\x1b[2ma\x1b[0m\n"
    monkeypatch.setenv(variable, value)
    plain = Terminal()
    aside(plain, "a")
    assert plain.getvalue() == "a\n"
