"""Lines broken between words, or within a word that is longer than the terminal is wide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llmserve.chat.markdown.spans import Span, cells

__all__ = ["wrap"]

_WORDS = re.compile(r"\s+|\S+")


def wrap(spans: Iterable[Span], width: int, *, begun: int = 0, indent: str = "") -> list[list[Span]]:
    """Rows of at most ``width`` cells. ``begun`` cells of the first are taken; ``indent`` begins each row after it."""
    rows: list[list[Span]] = [[]]
    room = width - begun
    fresh = begun == 0
    hanging = cells(indent) if cells(indent) < width // 2 else 0
    for word, style in _words(spans):
        size = cells(word)
        blank = word.isspace()
        if size > room and not fresh:
            rows.append([Span(indent)] if hanging else [])
            room, fresh = width - hanging, True
            if blank:
                continue
        if blank and fresh and len(rows) > 1:
            continue
        while size > room:
            head = _head(word, room)
            rows[-1].append(Span(head, style))
            rows.append([Span(indent)] if hanging else [])
            word, room = word[len(head) :], width - hanging
            size = cells(word)
        if word:
            rows[-1].append(Span(word, style))
            room, fresh = room - size, False
    return rows


def _words(spans: Iterable[Span]) -> Iterator[tuple[str, str]]:
    for span in spans:
        for found in _WORDS.finditer(span.text):
            yield found[0].expandtabs(4) if "\t" in found[0] else found[0], span.style


def _head(word: str, room: int) -> str:
    """As many characters as fit into ``room`` cells, and one at least: an endless loop helps nobody."""
    if word.isascii():
        return word[: max(1, room)]
    from wcwidth import wcwidth

    used = 0
    for place, char in enumerate(word):
        used += max(0, wcwidth(char))
        if used > room:
            return word[: max(1, place)]
    return word
