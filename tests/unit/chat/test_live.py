"""What is drawn in place, on an emulated screen: at every step it shows what a drawing from nothing would show."""

from __future__ import annotations

import io

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.chat.live import Live
from llmserve.chat.view import AnswerView, PlainView, drawable, view
from llmserve.endpoint.types import Delta

_ROW = st.sampled_from(["", "a", "ab", "abc", "b", "x" * 19, "日本"])
_STEP = st.tuples(st.lists(_ROW, max_size=3), st.lists(_ROW, max_size=4))


class Screen(io.StringIO):
    """A terminal; ``lines`` are what it showed from its beginning, scrolled away or not."""

    def __init__(self, columns: int = 20, height: int = 50) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, height, history=10_000, ratio=0.5)
        self.screen.set_mode(pyte.modes.LNM)
        self._stream = pyte.Stream(self.screen)
        self.writes = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes += 1
        self._stream.feed(text)
        return len(text)

    @property
    def lines(self) -> list[str]:
        above = ["".join(line[x].data for x in range(self.screen.columns)) for line in self.screen.history.top]
        shown = [line.rstrip() for line in [*above, *self.screen.display]]
        while shown and not shown[-1]:
            shown.pop()
        return shown


@pytest.fixture(autouse=True)
def _size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "50")
    monkeypatch.setenv("TERM", "xterm")


def stripped(rows: list[str]) -> list[str]:
    shown = list(rows)
    while shown and not shown[-1]:
        shown.pop()
    return shown


@settings(deadline=None)
@given(steps=st.lists(_STEP, max_size=10))
def test_each_step_shows_what_is_final_and_what_is_open(steps: list[tuple[list[str], list[str]]]) -> None:
    screen = Screen()
    live = Live(screen)
    final: list[str] = []
    for done, rows in steps:
        final += done
        live.update(done, rows)
        assert screen.lines == stripped(final + rows)


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.lists(_ROW, max_size=2), st.lists(_ROW, min_size=1, max_size=9)), max_size=8))
def test_rows_that_have_left_the_screen_are_not_touched(steps: list[tuple[list[str], list[str]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINES", "5")
        screen = Screen(height=5)
        live = Live(screen)
        for number, (done, rows) in enumerate(steps):
            live.update([f"f{number}" for _ in done], rows)
        live.update(["end"], [])
    assert screen.lines[-1] == "end"


def test_an_extended_row_costs_its_extension_alone() -> None:
    out = io.StringIO()
    live = Live(out)
    for text in ("a", "ab", "ab", "abc"):
        live.update([], [text])
    live.update(["abcd"], [])
    assert out.getvalue() == "abcd\n"


def drawn(*deltas: Delta, fold: bool = True, **more: str) -> Screen:
    screen = Screen(columns=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "60")
        shown = AnswerView(screen, fold=fold)
        for delta in deltas:
            shown.show(delta)
            shown.idle()
        shown.end()
    return screen


def test_an_answer() -> None:
    screen = drawn(Delta(content="\n\n# T\n**b"), Delta(content="** x\x1b[2J"), Delta(content="\n\n- i"))
    assert screen.lines == ["T", "b x", "", "• i"]


def test_folded_thoughts() -> None:
    screen = drawn(Delta(reasoning="hm"), Delta(reasoning=" hm"), Delta(content="Yes"))
    assert screen.lines[0].startswith("Thought for 0.0 s")
    assert screen.lines[1:] == ["Yes"]
    assert drawn(Delta(reasoning="only")).lines[0].startswith("Thought for")


def test_shown_thoughts() -> None:
    screen = drawn(Delta(reasoning="# hm **x**\n"), Delta(content="Yes"), fold=False)
    assert screen.lines == ["# hm **x**", "Yes"]


def test_nothing_is_drawn_for_nothing() -> None:
    assert drawn().writes == 0
    assert drawn(Delta(role="assistant")).writes == 0


@pytest.mark.parametrize(("term", "can"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_which_terminals_can(monkeypatch: pytest.MonkeyPatch, term: str, can: bool) -> None:
    monkeypatch.setenv("TERM", term)
    assert drawable(Screen()) is can
    assert isinstance(view(Screen(), plain=False, fold=True), AnswerView if can else PlainView)
    assert not drawable(io.StringIO())
    assert isinstance(view(Screen(), plain=True, fold=True), PlainView)
