"""Reading figures by name from a description that anyone may have written: a ``config.json`` or GGUF metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmserve.errors import LlmserveError
from llmserve.models.headers.blob import broken

_MOST = 10**9  # no width, count or context of a model comes near


class Fields:
    """Whole numbers, lists and sections by name; several names are spellings of the same figure, the first one counts.

    A figure may be given per layer; where one number is asked for, the largest counts. Senseless values raise
    ``broken_checkpoint``, naming the field.
    """

    def __init__(self, values: Mapping[str, Any], where: str, prefix: str = "") -> None:
        self.values = values
        self.where = where
        self.prefix = prefix

    def get(self, *names: str) -> Any:
        """The value as it stands there, None where it is missing or null."""
        return next((value for name in names if (value := self.values.get(self.prefix + name)) is not None), None)

    def number(self, *names: str, default: int | None = None) -> int:
        """A positive number; missing is an error unless there is a default."""
        value = self._largest(names)
        if value == 0:
            raise self.senseless(self._said(names))
        if value is None and default is None:
            raise broken(self.where, f"does not say {self.prefix + names[0]!r}")
        return value if value is not None else int(default or 0)

    def count(self, *names: str, default: int = 0) -> int:
        """A number that may be zero."""
        value = self._largest(names)
        return default if value is None else value

    def listed(self, name: str, layers: int, *, extra: int = 0) -> list[Any] | None:
        """A list with one entry per layer; some models append entries for ``extra`` MTP layers. None if it is empty."""
        value = self.get(name)
        if not isinstance(value, (list, tuple, str)) or not value:
            return None  # many of these may also be one number for all layers
        if len(value) not in (layers, layers + extra):
            raise broken(self.where, f"gives {len(value)} entries in {self.prefix + name!r} for {layers} layers")
        return list(value)[:layers]

    def section(self, name: str) -> Fields:
        """A nested table; an empty one where there is none."""
        value = self.get(name)
        return Fields(value if isinstance(value, dict) else {}, self.where)

    def senseless(self, name: str) -> LlmserveError:
        return broken(self.where, f"gives {name!r} a value that makes no sense")

    def _largest(self, names: tuple[str, ...]) -> int | None:
        value = self.get(*names)
        if value is None:
            return None
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        if not numbers or not all(type(number) is int and 0 <= number <= _MOST for number in numbers):
            raise self.senseless(self._said(names))
        return int(max(numbers))

    def _said(self, names: tuple[str, ...]) -> str:
        return next(self.prefix + name for name in names if self.values.get(self.prefix + name) is not None)
