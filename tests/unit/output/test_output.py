"""stdout carries the result, stderr the rest; JSON keeps its contract, errors included."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserve.errors import BY_EXIT_CODE, DoesNotFitError, LlmserveError
from llmserve.output import Output
from llmserve.output.text import GIB, columns, duration, gib, printable
from llmserve.result import Result


def speak(mode: str, result: Result | None = None, error: LlmserveError | None = None) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    output = Output(mode, "ps", out=out, err=err)
    if result:
        output.show(result)
    if error:
        output.fail(error)
    return out.getvalue(), err.getvalue()


RESULT = Result(data={"n": 1}, human="one", quiet="1", messages=("a hint",))


def test_human_text_goes_to_stdout_and_hints_to_stderr() -> None:
    assert speak("human", RESULT) == ("one\n", "a hint\n")


def test_quiet_prints_the_one_thing() -> None:
    assert speak("quiet", RESULT) == ("1\n", "")


def test_the_envelope_has_every_key() -> None:
    out, err = speak("json", RESULT)
    assert err == ""
    assert json.loads(out) == {
        "version": 1, "command": "ps", "status": "ok", "exit_code": 0,
        "data": {"n": 1}, "messages": ["a hint"], "errors": [],
    }  # fmt: skip


def test_errors_are_a_sentence_a_step_and_an_envelope() -> None:
    error = DoesNotFitError("3 GiB are missing.", hint="Use a smaller one.", data={"missing_bytes": 3})
    assert speak("human", error=error) == ("", "error: 3 GiB are missing.\n  Use a smaller one.\n")
    body = json.loads(speak("json", error=error)[0])
    assert body["status"] == "error"
    assert body["exit_code"] == 3
    assert body["errors"] == [
        {
            "code": "does_not_fit", "message": "3 GiB are missing.", "hint": "Use a smaller one.",
            "data": {"missing_bytes": 3},
        }
    ]  # fmt: skip


def test_json_never_steers_a_terminal_and_keeps_its_value() -> None:
    text = "a\x7f\x9b\u202eb\nü"
    out, _ = speak("json", Result(data={"text": text}))
    assert not {"\x7f", "\x9b", "\u202e"} & set(out)
    assert json.loads(out)["data"]["text"] == text


def test_one_command_prints_one_envelope() -> None:
    out, err = speak("json", RESULT, LlmserveError("late"))
    assert json.loads(out)["status"] == "ok"
    assert "late" in err


@pytest.mark.parametrize(
    ("args", "mode", "command"),
    [
        (["ps"], "human", "ps"),
        (["ps", "--json"], "json", "ps"),
        (["up", "-q"], "quiet", "up"),
        (["up", "tiny", "--", "--json"], "human", "up"),
        ([], "human", ""),
    ],
)
def test_the_mode_is_read_before_the_dashes(args: list[str], mode: str, command: str) -> None:
    output = Output.from_args(args)
    assert (output.mode, output.command) == (mode, command)


def test_each_exit_code_has_its_class() -> None:
    assert {code: kind.exit_code for code, kind in BY_EXIT_CODE.items()} == {c: c for c in (1, 2, 3, 4, 5, 6, 130)}


def test_an_unexpected_error_shows_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert Output("human", "up").fail_unexpected(ValueError("odd\nthing")) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: Unexpected ValueError: odd thing\n")
    assert "Traceback" not in err


@given(st.text())
def test_printable_leaves_no_control_character(text: str) -> None:
    assert not [c for c in printable(text) if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]


@pytest.mark.parametrize(
    "attack", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07red", "\x1b]8;;http://x\x1b\\red", "r\x00ed", "r\x9bed"]
)
def test_terminal_escapes_are_taken_out(attack: str) -> None:
    assert printable(attack) == "red"


def test_sizes_durations_and_columns() -> None:
    assert [gib(12 * 1024**2), gib(GIB), gib(15.5 * GIB)] == ["12.0 MiB", "1.00 GiB", "15.50 GiB"]
    assert [duration(s) for s in (0.42, 12, 200, 7500, 273_600)] == [
        "0.4 s",
        "12 s",
        "3 min 20 s",
        "2 h 5 min",
        "3 d 4 h",
    ]
    assert columns(("A", "BB"), [("aaa", "b\x1b[1m")]) == "A     BB\naaa   b"
