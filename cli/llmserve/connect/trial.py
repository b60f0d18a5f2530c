"""Running a client with what it was given, and saying what happened."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmserve.connect.clients import Client, Test
from llmserve.endpoint.endpoint import Endpoint
from llmserve.output.text import printable

__all__ = ["Outcome", "try_client"]

_PATIENCE = 120.0
"""Seconds: an engine may still compile kernels, and some clients take long to start."""

_SHOWN = 400


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``ran``: the client is installed and was started; ``ok``: it got an answer; ``said``: its last words."""

    ran: bool
    ok: bool
    said: str


def try_client(client: Client, text: str, endpoint: Endpoint, key_name: str) -> Outcome:
    """Run ``client`` with its ``text`` in an empty folder; ``key_name`` is the variable that the text may read."""
    test = client.test
    if test is None:
        return Outcome(ran=False, ok=False, said=f"{client.title} cannot be run from here.")
    command = _command(test)
    if command is None:
        install = f" (`{client.install}`)" if client.install else ""
        return Outcome(ran=False, ok=False, said=f"{client.title} is not installed here{install}.")
    with tempfile.TemporaryDirectory(prefix="llmserve-connect-") as folder:
        environment = _environment(test, Path(folder), text, endpoint, key_name)
        stdin = None if test.file else text + test.more
        return _run(command, Path(folder) if test.module or test.file else Path.cwd(), environment, stdin, endpoint)


def _command(test: Test) -> Sequence[str] | None:
    if test.module:
        python = _python(test.module)
        return (python, "-") if python else None
    if not shutil.which(test.needs):
        return None
    return None if test.check and not _succeeds(test.check) else test.run


def _python(module: str) -> str | None:
    """A Python that has ``module``: ours, or the one that a shell would start."""
    try:
        if importlib.util.find_spec(module):
            return sys.executable
    except ImportError:
        pass
    other = shutil.which("python3")
    look = f"import importlib.util, sys; sys.exit(not importlib.util.find_spec({module!r}))"
    return other if other and _succeeds((other, "-c", look)) else None


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False).returncode == 0


def _environment(test: Test, folder: Path, text: str, endpoint: Endpoint, key_name: str) -> dict[str, str]:
    own = {key_name: endpoint.api_key} if key_name and endpoint.api_key else {}
    if test.file:
        _write(folder / test.file, text)
        _write(folder / test.keys, json.dumps({"llmserve": endpoint.api_key or "EMPTY"}))
        own[test.folder] = str(folder)
    return {**os.environ, **own}


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")


def _run(
    command: Sequence[str], folder: Path, environment: dict[str, str], stdin: str | None, endpoint: Endpoint
) -> Outcome:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, errors="replace",
            timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL if stdin is None else None,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(ran=True, ok=False, said=f"no answer within {_PATIENCE:.0f} s")
    except OSError as error:
        return Outcome(ran=False, ok=False, said=f"it could not be started: {error.strerror}")
    words = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip()
    said = endpoint.redacted(printable(words))
    return Outcome(ran=True, ok=done.returncode == 0, said=said[:_SHOWN] if done.returncode == 0 else said[-_SHOWN:])
