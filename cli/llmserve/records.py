"""Frozen dataclasses to JSON and back, so that a record can be written to a file and replayed."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, TypeVar

Record = TypeVar("Record")


def to_json(record: Any) -> dict[str, Any]:
    """A dataclass as JSON types; tuples become lists."""
    return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}


def from_json(kind: type[Record], data: Any, *, where: str = "") -> Record:
    """Build ``kind`` from what :func:`to_json` wrote; unknown keys are ignored (a newer version wrote them).

    Raises:
        ValueError: a value is missing or has the wrong type; the message names its place.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{where or kind.__name__} must be a table, not {type(data).__name__}")
    hints = _hints(typing.cast(Any, kind))
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        place = f"{where}.{field.name}" if where else field.name
        if field.name in data:
            values[field.name] = _typed(hints[field.name], data[field.name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{place} is missing")
    return kind(**values)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _typed(hint: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _typed(next(argument for argument in arguments if argument is not type(None)), value, place)
    if origin is typing.Literal:
        return _one_of(arguments, value, place)
    if origin is tuple:
        return _tuple(arguments, value, place)
    if origin is dict:
        return {key: _typed(arguments[1], item, f"{place}.{key}") for key, item in _is(dict, value, place).items()}
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast("type[Any]", hint), value, where=place)
    return float(value) if hint is float and type(value) is int else _is(hint, value, place)


def _tuple(arguments: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    items = _is(list, list(value) if isinstance(value, tuple) else value, place)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_typed(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(items))
    if len(arguments) != len(items):
        raise ValueError(f"{place} must have {len(arguments)} items")
    pairs = zip(arguments, items, strict=True)
    return tuple(_typed(hint, item, f"{place}[{i}]") for i, (hint, item) in enumerate(pairs))


def _one_of(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    if value not in choices:
        raise ValueError(f"{place} must be one of {', '.join(map(str, choices))}, not {value!r}")
    return value


def _is(kind: type[Any], value: Any, place: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{place} must be {kind.__name__}, not {value!r}")
    return value
