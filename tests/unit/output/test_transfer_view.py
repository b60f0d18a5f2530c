"""How a download is shown: to a person, in a log, and to a program."""

from __future__ import annotations

import io
import json

import pytest

from llmserve.models.hub.progress import Event
from llmserve.output.transfer import JsonTransfer, LiveTransfer, PlainTransfer, Transfer, view

MIB = 1024**2


def event(done: int = 512, total: int = 1024, *, note: str = "", files: int = 1, name: str = "model.gguf") -> Event:
    work = tuple((f"{number}{name}", done * MIB // 2, total * MIB // 2, "fetching") for number in range(files))
    return Event(
        done_bytes=done * MIB, total_bytes=total * MIB, rate=64.0 * MIB, eta_seconds=200.0, files=work, note=note
    )


def test_a_log_gets_a_line_now_and_then() -> None:
    stream = io.StringIO()
    with PlainTransfer(stream, every=0) as shown:
        shown(event())
    assert stream.getvalue() == ("fetch   50%  0.50 GiB of 1.00 GiB · 64.0 MiB/s · 3 min 20 s left · 0model.gguf 50%\n")


def test_a_log_is_not_flooded() -> None:
    stream = io.StringIO()
    with PlainTransfer(stream) as shown:
        for done in range(100):
            shown(event(done))
    assert stream.getvalue() == ""


def test_trouble_is_said_at_once_and_once() -> None:
    stream = io.StringIO()
    with PlainTransfer(stream) as shown:
        for note in ("", "retrying in 4 s: \x1b[31mreset", "retrying in 4 s: \x1b[31mreset", ""):
            shown(event(note=note))
    assert stream.getvalue().count("\n") == 1
    assert "retrying in 4 s: reset" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_many_files_are_counted() -> None:
    stream = io.StringIO()
    with PlainTransfer(stream, every=0) as shown:
        shown(event(files=5))
    assert "0model.gguf 50%, 1model.gguf 50%, 3 more files" in stream.getvalue()


def test_programs_get_one_object_a_line_and_always_the_last() -> None:
    stream = io.StringIO()
    with JsonTransfer(stream, every=60) as shown:
        shown.say("plan", {"repo": "org/x"})
        for done in (1, 2, 1024):
            shown(event(done))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["plan", "progress", "progress"]
    assert lines[1]["done_bytes"] == MIB
    assert lines[-1] == {
        "event": "progress", "done_bytes": 1024 * MIB, "total_bytes": 1024 * MIB, "rate_bytes_per_s": 64 * MIB,
        "eta_s": 200.0, "note": "",
        "files": [{"name": "0model.gguf", "done_bytes": 512 * MIB, "size_bytes": 512 * MIB, "state": "fetching"}],
    }  # fmt: skip


def test_the_live_view_shows_the_whole_and_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    stream = io.StringIO()
    with LiveTransfer(stream) as shown:
        shown(event(files=12, note="retrying in 4 s", name="\x1b[31mred.gguf"))
    text = stream.getvalue()
    assert "50%  0.50 GiB of 1.00 GiB · 64.0 MiB/s · 3 min 20 s left" in text
    assert "7red.gguf" in text
    assert "8red.gguf" not in text
    assert "retrying in 4 s" in text
    assert "\x1b[31m" not in text


def test_an_empty_download_has_a_share() -> None:
    stream = io.StringIO()
    with PlainTransfer(stream, every=0) as shown:
        shown(event(0, 0))
    assert "100%" in stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "interactive", "as_json", "kind"),
    [
        ("human", True, False, LiveTransfer),
        ("human", False, False, PlainTransfer),
        ("json", False, False, Transfer),
        ("quiet", True, False, Transfer),
        ("quiet", True, True, JsonTransfer),
        ("human", True, True, JsonTransfer),
    ],
)
def test_the_view_fits_who_watches(mode: str, interactive: bool, as_json: bool, kind: type[Transfer]) -> None:
    assert type(view(io.StringIO(), mode=mode, interactive=interactive, as_json=as_json)) is kind
