"""Whole answers against what they must look like: required keys, types, nulls, words, at every depth.

A shape is plain data::

    USAGE = {"prompt_tokens": "count", "total_tokens": "count", "details?": ({"cached_tokens": "count"}, "null")}

A string names a kind (``text`` is a string that is not empty, ``count`` a whole number from 0, ``any`` anything), a
frozenset the words allowed, a list ``[shape]`` an array of such, a tuple alternatives, a dict an object. A key that
ends in ``?`` may be absent. Keys that no shape names are allowed: clients ignore them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from llmserve.probe.dig import MISSING, is_count, is_int, is_number, kind, short

__all__ = ["Shape", "misfit", "misfits"]

Shape: TypeAlias = "str | frozenset[str] | list[Any] | tuple[Any, ...] | dict[str, Any]"

MOST = 8

_KINDS: dict[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "null": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "text": lambda value: isinstance(value, str) and value != "",
    "boolean": lambda value: isinstance(value, bool),
    "integer": is_int,
    "count": is_count,
    "number": is_number,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


def misfits(value: Any, shape: Shape, at: str = "") -> list[str]:
    """What is wrong, each as ``path: what is there, what belongs there``; at most eight."""
    found: list[str] = []
    for fault in _faults(value, shape, at):
        found.append(fault)
        if len(found) == MOST:
            break
    return found


def misfit(value: Any, shape: Shape, at: str = "") -> str:
    """The first thing that is wrong, or nothing."""
    return next(_faults(value, shape, at), "")


def _faults(value: Any, shape: Shape, at: str) -> Iterator[str]:
    if isinstance(shape, tuple):
        if not any(misfit(value, one) == "" for one in shape):
            nearest = [one for one in shape if isinstance(one, dict | list) and _same_kind(value, one)]
            yield from _faults(value, nearest[0], at) if nearest else [_wrong(value, at, name(shape))]
    elif isinstance(shape, dict):
        yield from _object(value, shape, at)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield _wrong(value, at, "an array")
            return
        for place, item in enumerate(value):
            yield from _faults(item, shape[0], f"{at}[{place}]")
    elif isinstance(shape, frozenset):
        if not isinstance(value, str) or value not in shape:
            yield _wrong(value, at, name(shape))
    elif not _KINDS[shape](value):
        yield _wrong(value, at, name(shape))


def _object(value: Any, shape: dict[str, Any], at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _wrong(value, at, "an object")
        return
    for key, inner in shape.items():
        wanted = key.removesuffix("?")
        path = f"{at}.{wanted}" if at else wanted
        if wanted in value:
            yield from _faults(value[wanted], inner, path)
        elif wanted == key:
            yield _wrong(MISSING, path, name(inner))


def _same_kind(value: Any, shape: Shape) -> bool:
    return isinstance(value, dict) if isinstance(shape, dict) else isinstance(value, list)


def _wrong(value: Any, at: str, wanted: str) -> str:
    seen = (
        kind(value) if value is MISSING or isinstance(value, dict | list) or value is None else short(repr(value), 40)
    )
    return f"{at or 'the answer'} is {seen}, not {wanted}"


def name(shape: Shape) -> str:
    """A shape in a word or two."""
    if isinstance(shape, tuple):
        return " or ".join(name(one) for one in shape)
    if isinstance(shape, frozenset):
        return "|".join(sorted(shape))
    if isinstance(shape, dict):
        return "an object"
    if isinstance(shape, list):
        return "an array"
    return {"text": "a string that is not empty", "count": "a whole number ≥ 0"}.get(shape, shape)
