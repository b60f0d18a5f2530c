"""What a line of Markdown is, and how it is drawn."""

from __future__ import annotations

import re
from collections.abc import Callable

from llmserve.chat.markdown.inline import inline
from llmserve.chat.markdown.spans import BOLD, DIM, LINK, Span, cells

__all__ = ["FENCE", "drawn"]

FENCE = re.compile(r"(?P<indent> {0,12})(?P<marks>`{3,}|~{3,})\s*(?P<language>[\w+#.-]*)[^`]*")

_HEADING = re.compile(r" {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*")
_RULE = re.compile(r" {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})")
_ITEM = re.compile(r"(\s*)([-*+]|\d{1,9}[.)])(\s+)(?:\[([ xX])\]\s+)?(.*)", re.DOTALL)
_QUOTE = re.compile(r" {0,3}((?:>\s?)+)(.*)", re.DOTALL)
_INDENT = re.compile(r"(\s*)(.*)", re.DOTALL)

Line = tuple[list[Span], str]


def drawn(line: str, width: int) -> Line:
    """The spans of a line that is no code, and the indent of the rows that it may wrap to."""
    for rule in _RULES:
        found = rule(line, width)
        if found:
            return found
    found_indent = _INDENT.fullmatch(line)
    indent, text = (found_indent[1].expandtabs(4), found_indent[2]) if found_indent else ("", line)
    return [Span(indent), *inline(text)] if indent else inline(text), indent


def _heading(line: str, _: int) -> Line | None:
    found = _HEADING.fullmatch(line)
    if not found:
        return None
    style = f"{BOLD};{LINK}" if len(found[1]) == 1 else BOLD
    return inline(found[2] or "", style), ""


def _rule(line: str, width: int) -> Line | None:
    return ([Span("─" * min(width, 40), DIM)], "") if _RULE.fullmatch(line) else None


def _item(line: str, _: int) -> Line | None:
    found = _ITEM.fullmatch(line)
    if not found:
        return None
    indent, mark, _blank, box, text = found.groups()
    indent = indent.expandtabs(4)
    shown = "•" if mark in "-*+" else mark
    if box is not None:
        shown += " ☐" if box == " " else " ☑"
    hanging = indent + " " * (cells(shown) + 1)
    return [Span(indent), Span(shown, DIM), Span(" "), *inline(text)], hanging


def _quote(line: str, width: int) -> Line | None:
    found = _QUOTE.fullmatch(line)
    if not found:
        return None
    bars = "│ " * min(found[1].count(">"), 8)
    spans, indent = drawn(found[2], width)
    return [Span(bars, DIM), *spans], bars + indent


_RULES: tuple[Callable[[str, int], Line | None], ...] = (_heading, _rule, _item, _quote)
