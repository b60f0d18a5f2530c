"""The clients that can be connected, and the text for each."""

from __future__ import annotations

import difflib
import json
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from typing import Any

from llmserve import paths
from llmserve.connect.key_reference import KeyReference
from llmserve.errors import UsageError
from llmserve.output.text import printable
from llmserve.records import from_json

__all__ = ["Client", "Place", "Test", "client", "clients"]

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
_UNUSED = {
    "import os": "os.",
    "from pathlib import Path": "Path(",
    'import { readFileSync } from "node:fs";': "readFileSync(",
}


@dataclass(frozen=True, kw_only=True)
class Test:
    """How a client is tried: ``module`` is imported by a Python that has it, ``needs`` a program on PATH.

    ``check`` is a command that succeeds where the client is installed. ``run`` gets the text on its standard input, or
    finds it as ``file`` in a private folder that the variable ``folder`` names, the key beside it in the JSON file
    ``keys``. ``more`` is added to the end of the text. ``asks``: its good end means that the endpoint answered.
    """

    module: str = ""
    needs: str = ""
    check: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    more: str = ""
    file: str = ""
    folder: str = ""
    keys: str = ""
    asks: bool = True


@dataclass(frozen=True, kw_only=True)
class Client:
    """A template: ``text`` belongs to ``where``, and ``after`` is typed in a shell then."""

    name: str
    title: str
    about: str
    where: str
    text: str
    after: str = ""
    install: str = ""
    test: Test | None = field(default=None)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What fills the templates: the endpoint, the model's id, its context in tokens."""

    base_url: str
    model: str
    key: KeyReference
    context: int = 8192

    def fill(self, text: str) -> str:
        """``text`` with the placeholders replaced, and without the imports that it does not need."""
        asked = {"model": self.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
        values = {
            "URL": json.dumps(self.base_url), "MODEL": json.dumps(self.model), "CONTEXT": str(self.context),
            "SH_URL": shlex.quote(self.base_url), "SH_MODEL": shlex.quote(self.model),
            "SH_BODY": shlex.quote(json.dumps(asked)), "SH_KEY": self.key.shell, "PY_KEY": self.key.python,
            "JS_KEY": self.key.javascript,
        }  # fmt: skip
        filled = _PLACEHOLDER.sub(lambda found: printable(values[found[1]]), text)
        lines = [line for line in filled.split("\n") if line not in _UNUSED or _UNUSED[line] in filled]
        return "\n".join(lines).strip("\n")


def clients() -> list[Client]:
    """All clients, by name."""
    return [_load(path.stem) for path in sorted((paths.templates_dir() / "clients").glob("*.toml"))]


def client(name: str) -> Client:
    """The client called ``name``.

    Raises:
        UsageError: there is none; names the nearest.
    """
    known = [path.stem for path in sorted((paths.templates_dir() / "clients").glob("*.toml"))]
    if name in known:
        return _load(name)
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? Known: {', '.join(known)}." if near else f"Known: {', '.join(known)}."
    raise UsageError(f"llmserve knows no client called {name!r}.", hint=hint, code="unknown_client")


def _load(name: str) -> Client:
    file = paths.templates_dir() / "clients" / f"{name}.toml"
    data: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    return from_json(Client, data | {"name": name})
