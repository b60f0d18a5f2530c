"""Text of a model on its way to a terminal, in pieces cut anywhere."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["Sanitizer", "clean", "mend"]

_HIGH_SURROGATE = re.compile(r"[\ud800-\udbff]\Z")
# Latin, Greek, Cyrillic, kana, Han and Hangul, which make up nearly all text: nothing to look at there.
_HARMLESS = re.compile(
    r"[\n\t -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e\u20a0-\u20cf"
    r"\u2100-\u2bff\u3000-\u3029\u3030-\u3098\u309b-\ua48f\uac00-\ud7a3\uff01-\uffdc]*"
)

_TEXT, _ESCAPE, _CSI, _STRING, _STRING_ESCAPE = range(5)
_STRINGS = "]PX^_"  # what begins OSC, DCS, SOS, PM and APC after an ESC
_C1_STRINGS = "\x90\x98\x9d\x9e\x9f"
_BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_SEPARATORS = "\u2028\u2029"

_MOST_ZERO_WIDTH = 8  # in a row: the longest flag emoji needs seven, no script needs more
_LONGEST_CSI = 64
_LONGEST_STRING = 4096


def mend(text: str) -> str:
    """``text`` with surrogate pairs joined and lone surrogates replaced, so that it can be encoded.

    A server that cuts an emoji between two JSON strings sends its halves apart.
    """
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean(text: str) -> str:
    """A whole text, as a terminal may see it."""
    sanitizer = Sanitizer()
    return sanitizer.feed(text) + sanitizer.end()


class Sanitizer:
    """Takes out what could steer a terminal: escape sequences whole, other controls, bidirectional overrides, and
    floods of characters without width. Newlines and tabs stay.

    However the text is cut, the pieces that come out join to the same. A sequence that never ends hides a line at most.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = _TEXT
        self._length = 0
        self._zero_width = 0

    def feed(self, piece: str) -> str:
        text = self._held + piece
        half = _HIGH_SURROGATE.search(text)
        self._held = half[0] if half else ""
        text = mend(text.removesuffix(self._held))
        if self._state == _TEXT and _HARMLESS.fullmatch(text):
            self._zero_width = 0 if text else self._zero_width
            return text
        return "".join(map(self._take, text))

    def end(self) -> str:
        """What was held back for its other half."""
        held, self._held, self._state = self._held, "", _TEXT
        return mend(held)

    def _take(self, char: str) -> str:
        if self._state == _TEXT:
            return self._text(char)
        self._length += 1
        if self._state == _ESCAPE:
            return self._escape(char)
        return self._csi(char) if self._state == _CSI else self._string(char)

    def _text(self, char: str) -> str:
        if char == "\x1b" or "\x80" <= char <= "\x9f":
            self._enter(_ESCAPE if char == "\x1b" else _CSI if char == "\x9b" else
                        _STRING if char in _C1_STRINGS else _TEXT)  # fmt: skip
            return ""
        if char in "\n\t":
            self._zero_width = 0
            return char
        if char < " " or char == "\x7f" or char in _BIDI:
            return ""
        if char in _SEPARATORS:
            return "\n"
        if char < "\x7f" or unicodedata.category(char) not in ("Mn", "Me", "Cf"):
            self._zero_width = 0
            return char
        self._zero_width += 1
        return char if self._zero_width <= _MOST_ZERO_WIDTH else ""

    def _escape(self, char: str) -> str:
        if char == "[":
            return self._enter(_CSI)
        if char in _STRINGS:
            return self._enter(_STRING)
        if " " <= char <= "/" and self._length < _LONGEST_CSI:
            return ""
        return self._leave(char, swallow="0" <= char <= "~")

    def _csi(self, char: str) -> str:
        if " " <= char <= "?" and self._length < _LONGEST_CSI:
            return ""
        return self._leave(char, swallow="@" <= char <= "~")

    def _string(self, char: str) -> str:
        if self._state == _STRING_ESCAPE:
            if char == "\\":
                return self._enter(_TEXT)
            self._enter(_ESCAPE)
            return self._escape(char)
        if char == "\x1b":
            self._state = _STRING_ESCAPE
            return ""
        over = char in "\n\x07\x18\x1a\x9c" or self._length > _LONGEST_STRING
        return self._leave(char, swallow=char != "\n") if over else ""

    def _enter(self, state: int) -> str:
        self._state, self._length = state, 0
        return ""

    def _leave(self, char: str, *, swallow: bool) -> str:
        """Back to text; ``char`` ended the sequence, and is part of it if it is swallowed."""
        self._state = _TEXT
        return "" if swallow else self._text(char)
