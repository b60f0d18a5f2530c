"""How a client is told the key without the key being shown: as a file or a variable, in the client's language."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Literal

__all__ = ["KeyReference"]


@dataclass(frozen=True, kw_only=True)
class KeyReference:
    """Where the key is: in the file or the variable called ``name``; ``none`` where no key is needed.

    ``shown`` is the key itself, which takes the reference's place when the user asks for that.
    """

    kind: Literal["file", "variable", "none"]
    name: str = ""
    shown: str | None = None

    @property
    def shell(self) -> str:
        """A word of a POSIX shell."""
        if self.kind == "none" or self.shown:
            return shlex.quote(self.shown or "EMPTY")
        return f'"$(cat {shlex.quote(self.name)})"' if self.kind == "file" else f'"${self.name}"'

    @property
    def python(self) -> str:
        """An expression of Python; needs ``os`` and ``Path``."""
        if self.kind == "none" or self.shown:
            return json.dumps(self.shown or "EMPTY")
        name = json.dumps(self.name)
        return f"Path({name}).read_text().strip()" if self.kind == "file" else f"os.environ[{name}]"

    @property
    def javascript(self) -> str:
        """An expression of JavaScript; needs ``readFileSync``."""
        if self.kind == "none" or self.shown:
            return json.dumps(self.shown or "EMPTY")
        if self.kind == "file":
            return f'readFileSync({json.dumps(self.name)}, "utf8").trim()'
        return f"process.env.{self.name}"
