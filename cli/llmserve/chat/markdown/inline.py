"""Emphasis, code and links inside a line."""

from __future__ import annotations

import re

from llmserve.chat.markdown.spans import BOLD, CODE, DIM, ITALIC, LINK, STRIKE, Span, both

__all__ = ["inline"]

_DEEPEST = 6
_INLINE = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<ticks>`+)(?P<code>[^\n]{1,600}?)(?<!`)(?P=ticks)(?!`)"
    r"|(?P<mark>!?)\[(?P<label>[^\]\n]{0,300})\]\((?P<url>[^()\s]{0,600})(?:\s+\"[^\"\n]{0,200}\")?\)"
    r"|(?P<both>\*\*\*)(?=\S)(?P<in_both>[^\n]{1,600}?)(?<=\S)\*\*\*"
    r"|(?P<strong>\*\*|(?<!\w)__)(?=\S)(?P<in_strong>[^\n]{1,600}?)(?<=\S)(?P=strong)(?!\*)(?:(?<=\*)|(?!\w))"
    r"|\*(?=[^\s*])(?P<star>[^\n]{1,600}?)(?<=[^\s*])\*(?!\*)"
    r"|(?<!\w)_(?=[^\s_])(?P<under>[^\n]{1,600}?)(?<=[^\s_])_(?!\w)"
    r"|~~(?=\S)(?P<strike>[^\n]{1,600}?)(?<=\S)~~"
)
_SPECIAL = re.compile(r"[\\`\[*_~]")


def inline(text: str, style: str = "", depth: int = 0) -> list[Span]:
    """The spans of ``text``. What is not closed (yet) stands as it was written."""
    if depth > _DEEPEST or not _SPECIAL.search(text):
        return [Span(text, style)] if text else []
    spans, done = [], 0
    for found in _INLINE.finditer(text):
        if found.start() > done:
            spans.append(Span(text[done : found.start()], style))
        spans += _spans(found, style, depth + 1)
        done = found.end()
    if done < len(text):
        spans.append(Span(text[done:], style))
    return spans


_NESTED = (
    ("in_both", f"{BOLD};{ITALIC}"),
    ("in_strong", BOLD),
    ("star", ITALIC),
    ("under", ITALIC),
    ("strike", STRIKE),
)


def _spans(found: re.Match[str], style: str, depth: int) -> list[Span]:
    if found["escape"]:
        return [Span(found["escape"][1], style)]
    if found["ticks"]:
        code = found["code"]
        inner = code[1:-1] if code.startswith(" ") and code.endswith(" ") and code.strip() else code
        return [Span(inner, both(style, CODE))]
    if found["url"] is not None:
        label, url = found["label"], found["url"]
        shown = inline(label, both(style, LINK), depth) if label else []
        return [*shown, Span(f"{' ' if shown else ''}({url})", both(style, DIM))] if url != label else shown
    for group, inner in _NESTED:
        if found[group]:
            return inline(found[group], both(style, inner), depth)
    return [Span(found[0], style)]
