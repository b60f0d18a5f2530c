"""Secrets taken out of a stream of bytes, wherever the pieces in which it arrives happen to end."""

from __future__ import annotations

import re
from collections.abc import Sequence

REDACTED = b"[redacted]"


class Redactor:
    """Feed it pieces; what it returns, joined, does not depend on where they were cut.

    The end of a piece that may be the beginning of a secret is held back until the next one shows what it is.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = sorted({secret.encode() for secret in secrets if secret}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets))) if self._secrets else None
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What is certain by now."""
        return self._clean(self._held + piece, last=False)

    def finish(self) -> bytes:
        """What was held back, at the end of the stream."""
        return self._clean(self._held, last=True)

    def _clean(self, text: bytes, *, last: bool) -> bytes:
        if self._pattern is None:
            self._held = b""
            return text
        clean, at = b"", 0
        open_at = len(text) if last else self._open(text, 0)
        while (found := self._pattern.search(text, at)) and found.start() < open_at:
            clean += text[at : found.start()] + REDACTED
            at = found.end()
            open_at = len(text) if last else self._open(text, at)
        self._held = text[open_at:]
        return clean + text[at:open_at]

    def _open(self, text: bytes, start: int) -> int:
        """Where the first secret begins that ``text``, from ``start`` on, holds no more than the beginning of."""
        longest = len(self._secrets[0])
        for at in range(max(start, len(text) - longest + 1), len(text)):
            rest = text[at:]
            if any(len(secret) > len(rest) and secret.startswith(rest) for secret in self._secrets):
                return at
        return len(text)
