"""Puts an answer on streams as it comes: the text on one, the thoughts, dimmed, on the same or another, or nowhere."""

from __future__ import annotations

import os
from typing import TextIO

from llmserve.chat.text import Sanitizer
from llmserve.endpoint.types import Delta
from llmserve.output.text import printable

__all__ = ["Printer", "aside", "styled"]

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def styled(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal whose user wants styles."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def aside(stream: TextIO, text: str) -> None:
    """A line that is not the model's, dimmed where styles are wanted."""
    before, after = (_DIM, _PLAIN) if styled(stream) else ("", "")
    stream.write(f"{before}{printable(text)}{after}\n")
    stream.flush()


class Printer:
    """One answer. ``show`` takes its pieces, ``end`` closes the last line, whatever became of the answer."""

    def __init__(self, text: TextIO, thoughts: TextIO | None = None) -> None:
        self._shared = text is thoughts
        self._text = _Sink(text)
        self._thoughts = _Sink(thoughts, dim=styled(thoughts)) if thoughts else None

    def show(self, delta: Delta) -> None:
        if delta.reasoning and self._thoughts:
            if self._shared:
                self._text.end()
            self._thoughts.write(delta.reasoning)
        if delta.content:
            if self._thoughts:
                self._thoughts.end()
            self._text.write(delta.content)

    def end(self) -> None:
        if self._thoughts:
            self._thoughts.end()
        self._text.end()


class _Sink:
    """Sanitised text that ends in exactly one newline: newlines at its end wait until more text comes."""

    def __init__(self, stream: TextIO, *, dim: bool = False) -> None:
        self._stream = stream
        self._before, self._after = (_DIM, _PLAIN) if dim else ("", "")
        self._sanitizer = Sanitizer()
        self._newlines = ""
        self._open = False

    def write(self, piece: str) -> None:
        self._put(self._sanitizer.feed(piece))

    def end(self) -> None:
        self._put(self._sanitizer.end())
        if self._open:
            self._stream.write(f"{self._after}\n")
            self._stream.flush()
        self._newlines, self._open = "", False

    def _put(self, piece: str) -> None:
        text = piece.rstrip("\n")
        if text:
            self._stream.write(("" if self._open else self._before) + self._newlines + text)
            self._stream.flush()
            self._newlines, self._open = "", True
        self._newlines += "\n" * (len(piece) - len(text))
