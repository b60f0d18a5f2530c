"""Pieces of a line with a style. A style is what stands in a terminal's SGR sequence: ``1`` bold, ``36`` cyan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["BOLD", "CODE", "DIM", "ITALIC", "LINK", "STRIKE", "Span", "both", "cells", "painted"]

BOLD, DIM, ITALIC, LINK, STRIKE, CODE = "1", "2", "3", "4", "9", "36"


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    style: str = ""


def both(outer: str, inner: str) -> str:
    return f"{outer};{inner}" if outer and inner else outer or inner


def painted(spans: Iterable[Span], *, colours: bool) -> str:
    """The spans as text for a terminal, each style ended where it ends; bare text without ``colours``."""
    if not colours:
        return "".join(span.text for span in spans)
    return "".join(f"\x1b[{span.style}m{span.text}\x1b[0m" if span.style else span.text for span in spans)


def cells(text: str) -> int:
    """How many cells of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth, wcwidth

    width = wcswidth(text)
    return width if width >= 0 else sum(max(0, wcwidth(char)) for char in text)
