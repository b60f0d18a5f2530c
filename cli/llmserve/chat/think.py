"""Thoughts that a server leaves inside the answer: ``<think> ... </think>`` at its beginning."""

from __future__ import annotations

__all__ = ["ThinkSplitter"]

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Feed it the pieces of an answer's text; it gives (text, thoughts) of each.

    Only a tag at the very beginning counts: an answer may well speak of such tags.
    """

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""

    def feed(self, piece: str) -> tuple[str, str]:
        if self._state == "text":
            return piece, ""
        self._held += piece
        return self._start() if self._state == "start" else self._thinking()

    def end(self) -> tuple[str, str]:
        """What was held back because it could have become a tag."""
        held, self._held = self._held, ""
        return ("", held) if self._state == "thinking" else (held, "")

    def _start(self) -> tuple[str, str]:
        text = self._held.lstrip()
        if text.startswith(_OPEN):
            self._state, self._held = "thinking", text[len(_OPEN) :].lstrip("\n")
            return self._thinking()
        if _OPEN.startswith(text):
            return "", ""
        self._state, held, self._held = "text", self._held, ""
        return held, ""

    def _thinking(self) -> tuple[str, str]:
        thought, tag, text = self._held.partition(_CLOSE)
        if tag:
            self._state, self._held = "text", ""
            return text.lstrip("\n"), thought
        keep = next((size for size in range(len(_CLOSE) - 1, 0, -1) if self._held.endswith(_CLOSE[:size])), 0)
        thought, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return "", thought
