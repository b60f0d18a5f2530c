"""The conversation at a terminal: a line in, an answer out, until the user leaves."""

from __future__ import annotations

import re
from collections.abc import Callable

from llmserve.chat.printer import Printer, aside
from llmserve.chat.report import stats, warnings
from llmserve.chat.session import Session
from llmserve.output import Output

__all__ = ["HELP", "converse"]

HELP = """\
/clear   forget the conversation so far
/help    show this
/quit    leave (so do Ctrl-D, and Ctrl-C on an empty line)
Alt-Enter begins a new line; Ctrl-C stops an answer and keeps what has come."""

_COMMAND = re.compile(r"/[a-z?]*")


def converse(session: Session, read: Callable[[], str], output: Output) -> None:
    """Read lines with ``read`` until it raises EOFError or KeyboardInterrupt, or /quit is typed."""
    _aside(output, f"{session.model}: /help shows the commands, Ctrl-D leaves.")
    while True:
        try:
            line = read().strip()
        except (EOFError, KeyboardInterrupt):
            return
        if _COMMAND.fullmatch(line):
            if line in ("/quit", "/exit", "/bye"):
                return
            _command(line, session, output)
        elif line:
            _exchange(line, session, output)


def _command(line: str, session: Session, output: Output) -> None:
    if line == "/clear":
        session.clear()
        _aside(output, "The conversation is forgotten.")
    elif line in ("/help", "/?"):
        aside(output.out, HELP)
    else:
        aside(output.out, f"There is no command {line}; /help lists them.")


def _exchange(line: str, session: Session, output: Output) -> None:
    printer = Printer(output.out, output.out)
    try:
        answer = session.ask(line, printer.show)
    finally:
        printer.end()
    if answer.error:
        output.fail(answer.error)
    elif answer.stopped:
        printed = answer.content or answer.reasoning
        _aside(output, "Stopped." if printed else "\nStopped.")  # the terminal has echoed ^C on the line
    else:
        for warning in warnings(answer):
            _aside(output, warning)
        _aside(output, stats(answer))


def _aside(output: Output, text: str) -> None:
    if output.mode == "human":
        aside(output.out, text)
