"""Lists of names inside a sentence."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["some"]


def some(names: Sequence[str], *, most: int = 8) -> str:
    """``a, b, c and 90 more``: public endpoints list a hundred models."""
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"
