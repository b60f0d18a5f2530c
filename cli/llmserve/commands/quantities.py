"""Quantities as people write them on a command line: ``32k`` tokens, ``2GiB`` of memory."""

from __future__ import annotations

import re

from llmserve.errors import UsageError

_NUMBER = re.compile(r"(\d+(?:[_,]\d{3})*)(\.\d+)?\s*([A-Za-z]*)", re.ASCII)
_TOKENS = {"": 1, "k": 1024, "m": 1024**2}
_BYTES = {
    "b": 1, "k": 1024, "kib": 1024, "kb": 10**3, "m": 1024**2, "mib": 1024**2, "mb": 10**6,
    "g": 1024**3, "gib": 1024**3, "gb": 10**9, "t": 1024**4, "tib": 1024**4, "tb": 10**12,
}  # fmt: skip
_MOST_TOKENS, _MOST_BYTES = 2**31, 2**50


def tokens(text: str, option: str) -> int:
    """A count of tokens; ``k`` and ``m`` are powers of 1024, as in the names of models: 128k is 131,072.

    Raises:
        UsageError: it is no such count, or not between 1 and 2^31.
    """
    value = _amount(text, _TOKENS)
    if value is None or value != int(value):
        raise UsageError(f"{option} {text!r} is not a number of tokens.", hint=f"Use {option} 8192 or {option} 32k.")
    if not 1 <= value <= _MOST_TOKENS:
        raise UsageError(
            f"{option} must be between 1 and {_MOST_TOKENS:,} tokens, not {text}.",
            hint="Leave it out to let llmserve choose.",
        )
    return int(value)


def size(text: str, option: str) -> int:
    """Memory in bytes: GiB, G (the same), GB (10^9), and so on.

    Raises:
        UsageError: the text has no unit, is no size, or is more than a pebibyte.
    """
    value = _amount(text, _BYTES | ({"": 1} if text.strip() == "0" else {}))
    if value is None or value > _MOST_BYTES:
        raise UsageError(f"{option} {text!r} is not a size.", hint=f"Use a number and a unit: {option} 2GiB, 500MiB.")
    return int(value)


def _amount(text: str, units: dict[str, int]) -> float | None:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[3].lower() not in units:
        return None
    return float(re.sub("[_,]", "", match[1]) + (match[2] or "")) * units[match[3].lower()]
