"""A look into JSON of strangers: nothing is where it should be, and nothing raises."""

from __future__ import annotations

from typing import Any

__all__ = ["MISSING", "as_dict", "as_list", "dig", "is_count", "is_int", "is_number", "kind", "short"]


class _Missing:
    """Tells an absent key from a null."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "absent"


MISSING = _Missing()


def dig(data: Any, *path: str | int) -> Any:
    """The value at ``path``, or MISSING where the way does not exist."""
    for step in path:
        if isinstance(step, str):
            data = data[step] if isinstance(data, dict) and step in data else MISSING
        else:
            data = data[step] if isinstance(data, list) and -len(data) <= step < len(data) else MISSING
    return data


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """A whole number that counts something: 0 or more."""
    return is_int(value) and value >= 0


def is_number(value: Any) -> bool:
    """A finite JSON number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def kind(value: Any) -> str:
    """The JSON word for a value's type."""
    if value is MISSING:
        return "absent"
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


def short(value: Any, limit: int = 120) -> str:
    """A value as a finding may quote it."""
    text = value if isinstance(value, str) else repr(value)[: 4 * limit]
    text = " ".join(text[: 4 * limit].split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
