"""What a server was started with, kept beside its record so that it can be started again; keys are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.engine import keys
from llmserve.engine.launch import Request
from llmserve.engine.server import Server
from llmserve.errors import LlmserveError
from llmserve.records import from_json, to_json

FILE = "launch.json"


def save(request: Request) -> None:
    """Write ``request``; each key is replaced by a mark that says which of the key files holds it."""
    text = json.dumps({**to_json(request), "server": None})
    for mark, key in _keys(request.server).items():
        text = text.replace(key, mark)
    paths.write_atomic(Path(request.server.directory) / FILE, text, mode=0o600)


def load(server: Server) -> Request:
    """What ``server`` was started with.

    Raises:
        LlmserveError: it never became ready, or its files were removed.
    """
    folder = Path(server.directory)
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        for mark, key in _keys(server).items():
            text = text.replace(mark, key)
        data: dict[str, Any] = json.loads(text)
        return from_json(Request, {**data, "server": to_json(server)})
    except (OSError, ValueError, TypeError) as error:
        raise LlmserveError(
            f"{server.name} cannot be started again: what it was started with is not on this disk any more.",
            hint="Start it anew with `llmserve up`.",
            code="not_restartable",
        ) from error


def forget(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)


def _keys(server: Server) -> dict[str, str]:
    files = {"{llmserve-key}": server.key_file, "{llmserve-admin-key}": server.admin_key_file}
    found = {mark: keys.read(Path(file)) for mark, file in files.items() if file}
    return {mark: key for mark, key in found.items() if key}
