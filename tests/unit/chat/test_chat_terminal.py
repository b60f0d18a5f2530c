"""Whole conversations as text, as a person sees them: the reader types, the fake endpoint answers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from textwrap import dedent

import pytest

from llmserve.chat.session import Session
from llmserve.chat.terminal import converse
from llmserve.endpoint.client import Client
from llmserve.endpoint.endpoint import Endpoint
from llmserve.output import Output
from tests.fakes.endpoint import CUT, FakeEndpoint, Reply, Route, chunk, error, stream, usage

Line = str | type[BaseException]


def typing(lines: list[Line], screen: io.StringIO) -> Callable[[], str]:
    """A reader that types ``lines``, echoed as a terminal would, then Ctrl-D."""
    rest: Iterator[Line] = iter(lines)

    def read() -> str:
        line = next(rest, EOFError)
        if isinstance(line, str):
            screen.write(f"> {line}\n")
            return line
        raise line

    return read


def transcript(answers: Route, lines: list[Line], *, mode: str = "human") -> tuple[str, FakeEndpoint]:
    screen = io.StringIO()
    with FakeEndpoint({"/v1/chat/completions": answers}) as fake, Client(Endpoint(base_url=fake.url)) as client:
        output = Output(mode, "chat", out=screen, err=screen)
        converse(Session(client, "tiny"), typing(lines, screen), output)
    text = screen.getvalue().replace(fake.url, "URL")
    return re.sub(r"TTFT \d+ ms", "TTFT 9 ms", text), fake


def test_a_conversation() -> None:
    answers = [
        stream("Hel", "lo!\n\n", tokens=usage(3, 2)),
        stream("It is", " \x1b[31mblue\x1b[0m.", tokens=usage(20, 4)),
        stream("New.", tokens=usage(3, 1)),
    ]
    text, fake = transcript(answers, ["hi", "  ", "and the sky?", "/clear", "again", "/nope", "/quit", "never read"])
    assert text == dedent("""\
        tiny: /help shows the commands, Ctrl-D leaves.
        > hi
        Hello!
        TTFT 9 ms · 5 tokens (3 prompt, 2 answer)
        >   
        > and the sky?
        It is [31mblue[0m.
        TTFT 9 ms · 24 tokens (20 prompt, 4 answer)
        > /clear
        The conversation is forgotten.
        > again
        New.
        TTFT 9 ms · 4 tokens (3 prompt, 1 answer)
        > /nope
        There is no command /nope; /help lists them.
        > /quit
        """)  # noqa: W291 - an empty line was typed
    roles = [[message["role"] for message in request.json["messages"]] for request in fake.requests]
    assert roles == [["user"], ["user", "assistant", "user"], ["user"]]
    assert fake.requests[1].json["messages"][1]["content"] == "Hello!\n\n"


def test_thoughts() -> None:
    reply = Reply(pieces=[chunk(reasoning_content="Hm.\n"), chunk("Yes."), chunk(finish_reason="stop")])
    text, _ = transcript(reply, ["well?"])
    assert "> well?\nHm.\nYes.\nTTFT 9 ms" in text


def test_errors_leave_the_conversation_open() -> None:
    answers = [
        Reply(pieces=[chunk("Par"), chunk("tial"), CUT]),
        error(400, "it exceeds the context size"),
        error(500, "boom"),
        stream("Fine."),
    ]
    text, fake = transcript(answers, ["a", "b", "c", "d"])
    assert text == dedent("""\
        tiny: /help shows the commands, Ctrl-D leaves.
        > a
        Partial
        error: URL stopped before the end of its answer.
          The server may have died or been stopped: see its log, then ask again.
        > b
        error: The conversation does not fit into the model's context (400: it exceeds the context size).
          Ask something shorter, begin anew, or serve the model with a longer context.
        > c
        error: URL failed (500: boom).
          The server's log says why.
        > d
        Fine.
        TTFT 9 ms · 0.0 s in all, tokens not reported
        """)
    asked = [message["content"] for message in fake.requests[-1].json["messages"]]
    assert asked == ["a", "Partial", "d"], "the partial answer is remembered, unanswered questions are not"


def test_a_limit_is_said() -> None:
    text, _ = transcript(stream("Onc", finish_reason="length"), ["a story"])
    assert "Onc\nThe answer was cut at the token limit" in text


@pytest.mark.parametrize("leave", [EOFError, KeyboardInterrupt, "/quit", "/exit"])
def test_ways_to_leave(leave: Line) -> None:
    _, fake = transcript(stream("x"), [leave, "never asked"])
    assert fake.requests == []


@pytest.mark.parametrize("line", ["/etc/passwd", "/help me", "a /quit"])
def test_text_with_a_slash_is_a_question(line: str) -> None:
    text, fake = transcript(stream("x"), [line])
    assert fake.requests[0].json["messages"][0]["content"] == line
    assert "no command" not in text


def test_help() -> None:
    text, _ = transcript(stream("x"), ["/help"])
    assert "/clear" in text
    assert "Ctrl-C stops an answer" in text


def test_quiet_prints_answers_only() -> None:
    text, _ = transcript(stream("Yes."), ["hi", "/clear"], mode="quiet")
    assert text == "> hi\nYes.\n> /clear\n"


def test_ctrl_c_keeps_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmserve.chat.printer import Printer

    show = Printer.show

    def then_stop(printer: Printer, delta: object) -> None:
        show(printer, delta)  # type: ignore[arg-type]
        if getattr(delta, "content", "") == "tial":
            raise KeyboardInterrupt

    monkeypatch.setattr(Printer, "show", then_stop)
    text, fake = transcript([Reply(pieces=[chunk("Par"), chunk("tial"), -1]), stream("ok")], ["a", "b"])
    assert "> a\nPartial\nStopped.\n> b\nok\n" in text
    assert fake.hung_up.is_set()
    assert [message["content"] for message in fake.requests[1].json["messages"]] == ["a", "Partial", "b"]
