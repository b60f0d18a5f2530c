"""Where tools come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Source", "definition"]


class Source(Protocol):
    """Some tools that belong together. ``call`` returns the result as text, and raises whatever goes wrong."""

    @property
    def definitions(self) -> Sequence[dict[str, Any]]: ...
    def call(self, name: str, arguments: dict[str, Any]) -> str: ...
    def close(self) -> None: ...


def definition(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A tool as it stands in a request."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}
