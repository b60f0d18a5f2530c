"""How far a conversation is beyond a model's context, from the sentence of whoever refused it."""

from __future__ import annotations

import re

__all__ = ["excess"]

_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(?![\w.]*\d)")
_STATUS = re.compile(r"\(?\b[45]\d\d:")
_LIMIT = re.compile(
    r"(?:context (?:length|size|window)|maximum(?: length)?|n_ctx|limit)[^0-9]{0,40}?(\d[\d,]*)", re.IGNORECASE
)


def excess(sentence: str) -> tuple[int, int] | None:
    """(tokens wanted, tokens that fit), or None where the sentence does not say.

    Servers say the context's length and one to three other figures: the sum, the prompt, the answer asked for. The
    largest is the sum.
    """
    sentence = _STATUS.sub("", sentence, count=1)
    limit = _LIMIT.search(sentence)
    if not limit:
        return None
    fits = _int(limit[1])
    wanted = max((_int(number) for number in _NUMBER.findall(sentence)), default=0)
    return (wanted, fits) if wanted > fits > 0 else None


def _int(digits: str) -> int:
    return int(digits.replace(",", "")[:12])
