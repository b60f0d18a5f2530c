"""The steps of a start: what was passed over is skipped, what was interrupted has failed."""

from __future__ import annotations

import io

import pytest

from llmserve.output.steps import LiveSteps, PlainSteps, Steps, steps

NAMES = ("resolve", "fetch", "graphs", "ready")


def test_beginning_a_step_ends_the_one_before_and_skips_what_lies_between() -> None:
    shown = Steps(NAMES)
    shown.begin("resolve")
    shown.begin("ready")
    assert [step.state for step in shown.steps.values()] == ["done", "skipped", "skipped", "running"]


def test_an_error_marks_the_running_step() -> None:
    shown = Steps(NAMES)
    shown.begin("fetch")
    shown.__exit__(RuntimeError)
    assert shown.steps["fetch"].state == "failed"


def test_a_log_gets_one_line_per_step_with_time_and_facts() -> None:
    stream = io.StringIO()
    shown = PlainSteps(NAMES, stream)
    shown.finish("resolve", "tiny · gguf")
    shown.update("fetch", done=512 * 1024**2, total=1024**3, unit="B")
    shown.finish("fetch")
    lines = stream.getvalue().splitlines()
    assert lines[0].split() == ["resolve", "0.0", "s", "tiny", "·", "gguf"]
    assert lines[1].endswith("0.50 GiB of 1.00 GiB")


def test_a_running_step_says_how_fast_it_is_and_what_is_left() -> None:
    stream = io.StringIO()
    shown = PlainSteps(NAMES, stream, every=0)
    shown.update("fetch", done=512 * 1024**2, total=1024**3, unit="B", rate=64 * 1024**2, eta=200.0)
    shown.finish("fetch")
    lines = stream.getvalue().splitlines()
    assert lines[-2].endswith("0.50 GiB of 1.00 GiB · 64.0 MiB/s · 3 min 20 s left")
    assert lines[-1].endswith("1.00 GiB")


def test_a_long_step_speaks_up_now_and_then() -> None:
    stream = io.StringIO()
    shown = PlainSteps(NAMES, stream, every=0)
    shown.begin("fetch")
    shown.update("fetch", done=1, total=2, unit="shards")
    assert "1 of 2 shards" in stream.getvalue()


def test_the_live_view_shows_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    with LiveSteps(NAMES, stream) as shown:
        shown.finish("resolve", "a model")
        shown.update("fetch", done=1, total=2, unit="B")
        shown.finish("ready")
    text = stream.getvalue()
    assert all(name in text for name in NAMES)
    assert "a model" in text


def test_control_characters_in_a_detail_never_reach_the_screen() -> None:
    stream = io.StringIO()
    PlainSteps(NAMES, stream).finish("resolve", "\x1b[31mred")
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "interactive", "kind"), [("json", True, Steps), ("human", True, LiveSteps), ("human", False, PlainSteps)]
)
def test_the_view_fits_who_watches(mode: str, interactive: bool, kind: type[Steps]) -> None:
    assert type(steps(NAMES, io.StringIO(), mode=mode, interactive=interactive)) is kind
