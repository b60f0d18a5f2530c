"""The public functions of a Python file as tools: annotations become the schema, docstrings the description."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmserve.chat.tools.source import definition
from llmserve.errors import UsageError

__all__ = ["Functions"]

_KINDS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"},
    list: {"type": "array"}, dict: {"type": "object"},
}  # fmt: skip


class Functions:
    """The file is run once, as ``import`` would; functions that begin with an underscore are not offered."""

    def __init__(self, path: Path) -> None:
        self._functions = _functions(path)
        if not self._functions:
            raise UsageError(f"{path} defines no public function.", hint="Define one: def add(a: int, b: int) -> int")

    @property
    def definitions(self) -> Sequence[dict[str, Any]]:
        return [
            definition(name, inspect.getdoc(function) or "", _schema(function))
            for name, function in self._functions.items()
        ]

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        result = self._functions[name](**arguments)
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)

    def close(self) -> None:
        pass


def _functions(path: Path) -> dict[str, Callable[..., Any]]:
    name = f"llmserve_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"{path} is no Python file.", hint="Give a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            f"{path} cannot be imported: {type(error).__name__}: {error}.", hint="Mend it first."
        ) from error
    return {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == name and not key.startswith("_")
    }


def _schema(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # an annotation that names what is not there says nothing, and breaks nothing
        hints = {}
    properties, required = {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            continue
        properties[name] = _kind(hints.get(name))
        if parameter.default is parameter.empty:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _kind(hint: Any) -> dict[str, Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_kind(each) if each is not type(None) else {"type": "null"} for each in inner]}
    if origin is list and inner:
        return {"type": "array", "items": _kind(inner[0])}
    return dict(_KINDS.get(origin or hint, {}))
