"""JSON as strict parsers have it, and as lenient ones take it. Neither ever raises anything but ``ValueError``."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["lenient", "strict"]


def strict(body: bytes) -> Any:
    """Parsed as RFC 8259 has it, which Python's own parser does not: no NaN or Infinity, no key twice, no BOM.

    Raises:
        ValueError: says what is wrong.
    """
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("a byte order mark stands before the JSON")
    return _load(text, parse_constant=_no_constant, object_pairs_hook=_no_repeats)


def lenient(body: bytes) -> Any:
    """Parsed as a forgiving client does, so that one fault does not hide the others.

    Raises:
        ValueError: it is no JSON by any reading.
    """
    return _load(body.decode("utf-8", "replace").removeprefix("\ufeff"))


def _load(text: str, **options: Any) -> Any:
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object"
        )
    return table
