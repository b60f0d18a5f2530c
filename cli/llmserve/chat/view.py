"""An answer on a terminal while it comes: Markdown drawn in place, thoughts folded to one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TextIO

from llmserve.chat.live import Live, screen_size
from llmserve.chat.markdown.spans import DIM
from llmserve.chat.markdown.stream import Markdown
from llmserve.chat.printer import Printer, styled
from llmserve.chat.text import Sanitizer
from llmserve.endpoint.types import Delta
from llmserve.output.text import duration

__all__ = ["AnswerView", "View", "drawable", "view"]

_FRAME = 0.05  # seconds; pieces are drawn at the latest then, also where nobody says when the stream is idle


class View(Protocol):
    """What shows an answer: its pieces, the moments when nothing more has come, and its end."""

    def show(self, delta: Delta) -> None: ...
    def idle(self) -> None: ...
    def end(self) -> None: ...


def drawable(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal whose cursor can be moved."""
    import os

    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def view(
    stream: TextIO, *, plain: bool, fold: bool, held: Callable[[], AbstractContextManager[None]] = nullcontext
) -> View:
    """The view that fits. ``fold``: of thoughts only their length is shown. ``held`` guards what must not be torn."""
    if plain or not drawable(stream):
        return PlainView(stream, fold=fold)
    return AnswerView(stream, fold=fold, held=held)


class PlainView:
    """Text as it comes, for terminals that move no cursor and for people who copy."""

    def __init__(self, stream: TextIO, *, fold: bool) -> None:
        self._stream = stream
        self._fold = fold
        self._printer = Printer(stream, None if fold else stream)
        self._began: float | None = None

    def show(self, delta: Delta) -> None:
        if self._fold and delta.reasoning and self._began is None:
            self._began = time.perf_counter()
        if delta.content and self._began is not None:
            self._thought()
        self._printer.show(delta)

    def idle(self) -> None:
        pass

    def end(self) -> None:
        if self._began is not None:
            self._thought()
        self._printer.end()

    def _thought(self) -> None:
        took = time.perf_counter() - (self._began or 0)
        self._began = None
        self._stream.write(f"{_thought(took)}\n")
        self._stream.flush()


class AnswerView:
    """Pieces are gathered, and drawn when the stream is idle or a frame has passed."""

    def __init__(
        self, stream: TextIO, *, fold: bool, held: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._colours = styled(stream)
        self._live = Live(stream)
        self._fold = fold
        self._held = held
        self._sanitizer, self._thoughts = Sanitizer(), Sanitizer()
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._thought_since: float | None = None
        self._page: Markdown | None = None  # what is being drawn: the thoughts, or the text
        self._page_is_thought = False
        self._drawn = 0.0

    def show(self, delta: Delta) -> None:
        if delta.reasoning:
            self._thinking.append(delta.reasoning)
        if delta.content:
            self._text.append(delta.content)
        if time.perf_counter() - self._drawn > _FRAME:
            self.idle()

    def idle(self) -> None:
        if self._text or self._thinking:
            with self._held():
                self._draw()
            self._drawn = time.perf_counter()

    def end(self) -> None:
        with self._held():
            self._draw()
            self._text.append(self._sanitizer.end())
            self._draw()
            self._close()
            self._live.end()

    def _draw(self) -> None:
        thought, self._thinking = "".join(self._thinking), []
        text, self._text = "".join(self._text), []
        if thought:
            self._draw_thought(self._thoughts.feed(thought))
        text = self._sanitizer.feed(text) if text else ""
        if text and (self._page is None or self._page_is_thought):
            text = text.lstrip("\n")  # many models begin with a blank line
        if text:
            self._draw_page(text, is_thought=False)

    def _draw_thought(self, thought: str) -> None:
        if self._thought_since is None:
            self._thought_since = time.perf_counter()
        if not self._fold:
            self._draw_page(thought, is_thought=True)
        elif self._page is None:
            since = duration(time.perf_counter() - self._thought_since)
            self._live.update([], [self._dim(f"Thinking … {since}"[: screen_size()[0] - 1])])

    def _draw_page(self, text: str, *, is_thought: bool) -> None:
        if self._page is None or self._page_is_thought != is_thought:
            self._close()
            self._page = Markdown(screen_size()[0] - 1, colours=self._colours, literal=DIM if is_thought else None)
            self._page_is_thought = is_thought
        rows = self._page.feed(text)
        self._live.update(rows.final, rows.open)

    def _close(self) -> None:
        """End what is being drawn, or fold the thoughts that were not drawn."""
        if self._page:
            self._live.update(self._page.end().final, [])
        elif self._fold and self._thought_since is not None:
            self._live.update([self._dim(_thought(time.perf_counter() - self._thought_since))], [])
        self._page, self._thought_since = None, None

    def _dim(self, text: str) -> str:
        return f"\x1b[{DIM}m{text}\x1b[0m" if self._colours else text


def _thought(seconds: float) -> str:
    return f"Thought for {duration(seconds)}; /think show unfolds it."
