"""Whole conversations as text, as a person sees them: the reader types, the fake endpoint answers."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from tests.fakes.endpoint import CUT, Reply, chunk, error, stream, usage
from tests.unit.chat.talk import Line, transcript


def test_a_conversation() -> None:
    answers = [
        stream("Hel", "lo!\n\n", tokens=usage(3, 2)),
        stream("It is", " \x1b[31mblue\x1b[0m.", tokens=usage(20, 4)),
        stream("New.", tokens=usage(3, 1)),
    ]
    text, fake, _ = transcript(answers, ["hi", "  ", "and the sky?", "/clear", "again", "/nope", "/quit", "never read"])
    assert text == dedent("""\
        tiny: /help shows the commands, Ctrl-D leaves.
        > hi
        Hello!
        TTFT 9 ms · 5 tokens (3 prompt, 2 answer)
        >   
        > and the sky?
        It is blue.
        TTFT 9 ms · 24 tokens (20 prompt, 4 answer)
        > /clear
        The conversation is forgotten.
        > again
        New.
        TTFT 9 ms · 4 tokens (3 prompt, 1 answer)
        > /nope
        error: There is no command /nope.
          /help lists them.
        > /quit
        """)  # noqa: W291 - an empty line was typed
    roles = [[message["role"] for message in request.json["messages"]] for request in fake.requests]
    assert roles == [["user"], ["user", "assistant", "user"], ["user"]]
    assert fake.requests[1].json["messages"][1]["content"] == "Hello!\n\n"


def test_thoughts() -> None:
    reply = Reply(pieces=[chunk(reasoning_content="Hm.\n"), chunk("Yes."), chunk(finish_reason="stop")])
    text, _, _ = transcript(reply, ["well?", "/think show", "well?", "/think fold"], fold=True)
    folded, shown = text.split("> /think show")
    assert re.search(r"> well\?\nThought for \d\.\d s; /think show unfolds it\.\nYes\.\nTTFT 9 ms", folded)
    assert shown.startswith("\nHm.\n> well?\nHm.\nYes.\nTTFT 9 ms")
    assert text.endswith("Thoughts are folded.\n")


def test_errors_leave_the_conversation_open() -> None:
    answers = [
        Reply(pieces=[chunk("Par"), chunk("tial"), CUT]),
        error(400, "it exceeds the context size of 2048 tokens: 3,000 tokens"),
        error(500, "boom"),
        stream("Fine."),
    ]
    text, fake, _ = transcript(answers, ["a", "b", "c", "d"])
    assert text == dedent("""\
        tiny: /help shows the commands, Ctrl-D leaves.
        > a
        Partial
        error: URL stopped before the end of its answer.
          The server may have died or been stopped: see its log, then ask again.
        What came is kept: /retry asks again.
        > b
        error: The conversation does not fit into the model's context (400: it exceeds the context size of 2048 tokens: 3,000 tokens).
          Ask something shorter, begin anew, or serve the model with a longer context.
        952 tokens too many: 3,000 are wanted, 2,048 fit.
        Your question is kept: /retry asks it again, /edit changes it.
        > c
        error: URL failed (500: boom).
          The server's log says why.
        Your question is kept: /retry asks it again, /edit changes it.
        > d
        Fine.
        TTFT 9 ms · 0.0 s in all, tokens not reported
        """)  # noqa: E501
    asked = [message["content"] for message in fake.requests[-1].json["messages"]]
    assert asked == ["a", "Partial", "d"], "the partial answer is remembered, unanswered questions are not"


def test_a_limit_is_said() -> None:
    text, _, _ = transcript(stream("Onc", finish_reason="length"), ["a story"])
    assert "Onc\nThe answer was cut at the token limit" in text


@pytest.mark.parametrize("leave", [[EOFError], [KeyboardInterrupt, KeyboardInterrupt], ["/quit"], ["/exit"]])
def test_ways_to_leave(leave: list[Line]) -> None:
    _, fake, _ = transcript(stream("x"), [*leave, "never asked"])
    assert fake.requests == []


def test_one_ctrl_c_at_the_prompt_does_not_leave() -> None:
    text, fake, _ = transcript(stream("x"), [KeyboardInterrupt, "asked", KeyboardInterrupt])
    assert text.count("Ctrl-C again, or Ctrl-D, leaves.") == 2
    assert len(fake.requests) == 1


@pytest.mark.parametrize("line", ["/etc/passwd", "/etc is a folder", "a /quit"])
def test_text_with_a_slash_is_a_question(line: str) -> None:
    text, fake, _ = transcript(stream("x"), [line])
    assert fake.requests[0].json["messages"][0]["content"] == line
    assert "no command" not in text


def test_help() -> None:
    text, _, _ = transcript(stream("x"), ["/help"])
    assert "/clear" in text
    assert "Ctrl-C stops an answer" in text


def test_quiet_prints_answers_only() -> None:
    text, _, _ = transcript(stream("Yes."), ["hi", "/clear"], mode="quiet")
    assert text == "> hi\nYes.\n> /clear\n"


def test_ctrl_c_keeps_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmserve.chat.printer import Printer

    show = Printer.show

    def then_stop(printer: Printer, delta: object) -> None:
        show(printer, delta)  # type: ignore[arg-type]
        if getattr(delta, "content", "") == "tial":
            raise KeyboardInterrupt

    monkeypatch.setattr(Printer, "show", then_stop)
    replies = [Reply(pieces=[chunk("Par"), chunk("tial"), -1]), stream("ok")]
    text, fake, chat = transcript(replies, ["a", "b", KeyboardInterrupt, KeyboardInterrupt])
    assert "> a\nPartial\nStopped.\n> b\nok\n" in text
    assert [turn.cut for turn in chat.session.turns] == [True, False]
    assert fake.hung_up.is_set()
    assert [message["content"] for message in fake.requests[1].json["messages"]] == ["a", "Partial", "b"]


def test_a_limit_of_requests_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("llmserve.chat.terminal.pause", lambda seconds, *_: waited.append(seconds))
    answers = [error(429, "slow down", **{"Retry-After": "7"}), error(503, "Loading model"), stream("Here.")]
    text, fake, _ = transcript(answers, ["a"])
    assert waited == [7.0, 10.0]
    assert "takes no more requests for now (429: slow down).\nAsking again in 7 s" in text
    assert text.count("Here.") == 1
    assert {len(request.json["messages"]) for request in fake.requests} == {1}


def test_a_wait_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("llmserve.chat.terminal.pause", stop)
    text, _, chat = transcript([error(429, "slow"), stream("Here.")], ["a", "/retry"])
    assert "Stopped.\n> /retry\nHere." in text
    assert chat.session.turns[0].question["content"] == "a"


def test_the_oldest_is_forgotten_where_the_user_says_so() -> None:
    too_long = error(400, "maximum context length is 100 tokens. However, you requested 150 tokens", code="x")
    asked: list[str] = []

    def yes(question: str) -> bool:
        asked.append(question)
        return True

    text, fake, _ = transcript(
        [stream("A."), stream("B."), too_long, too_long, stream("C.")], ["a", "b", "c"], confirm=yes
    )
    assert len(asked) == 2
    assert text.count("50 tokens too many: 150 are wanted, 100 fit.") == 2
    sent = [[message["content"] for message in request.json["messages"]] for request in fake.requests]
    assert sent[2:] == [["a", "A.", "b", "B.", "c"], ["b", "B.", "c"], ["c"]]


def test_a_server_that_comes_back_finds_the_conversation_as_it_was() -> None:
    answers = [stream("A."), Reply(pieces=[CUT]), error(502, "gone"), stream("B.")]
    text, fake, _ = transcript(answers, ["a", "b", "/retry", "/retry"])
    assert [message["content"] for message in fake.requests[-1].json["messages"]] == ["a", "A.", "b"]
    assert text.count("Your question is kept") == 2
    assert "B.\n" in text
