"""Text of a model on its way to a terminal, in pieces cut anywhere."""

from __future__ import annotations

import re

__all__ = ["Sanitizer", "mend"]

# What output.text.printable removes, less its whole escape sequences: those may be split over pieces, and without the
# ESC character the rest of one is harmless text.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_HIGH_SURROGATE = re.compile(r"[\ud800-\udbff]\Z")


def mend(text: str) -> str:
    """``text`` with surrogate pairs joined and lone surrogates replaced, so that it can be encoded.

    A server that cuts an emoji between two JSON strings sends its halves apart.
    """
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Sanitizer:
    """Drops control and bidirectional-override characters, one by one; newlines and tabs stay.

    However the text is cut, the pieces that come out join to the same.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        text = self._held + piece
        half = _HIGH_SURROGATE.search(text)
        self._held = half[0] if half else ""
        return _UNSAFE.sub("", mend(text.removesuffix(self._held)))

    def end(self) -> str:
        """What was held back for its other half."""
        held, self._held = self._held, ""
        return mend(held)
