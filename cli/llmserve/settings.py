"""Defaults from files: flags > environment > ./llmserve.toml > the user's config.toml > built in.

A file has one table per command, keyed by option name: ``[up]`` / ``context = 8192``. Typer reads flags and
``LLMSERVE_UP_CONTEXT`` and the like itself, and falls back on what :func:`defaults` returns. The table
``[profiles]`` is no command's: it names endpoints, see :mod:`llmserve.endpoint.profiles`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.errors import UsageError

PROFILES = "profiles"


def defaults(commands: Collection[str], project: Path = Path("llmserve.toml")) -> dict[str, dict[str, Any]]:
    """Option defaults per command, the project's file over the user's.

    Raises:
        UsageError: a file is not TOML, or a command's part of it is not a table.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in (paths.config_file(), project):
        for command, options in _read(path).items():
            if command == PROFILES:
                continue
            if not isinstance(options, dict):
                raise UsageError(f"{path}: {command!r} stands in no table.", hint="Put it under its command: [up].")
            if command not in commands:
                raise UsageError(f"{path}: there is no command {command!r}.", hint=f"Tables: {', '.join(commands)}.")
            named = {name.replace("-", "_"): value for name, value in options.items()}
            merged[command] = merged.get(command, {}) | named
    return merged


def profiles(project: Path = Path("llmserve.toml")) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The tables ``[profiles.NAME]``, each with the file that it stands in.

    A profile of the project's file replaces the user's of that name whole: an address from one file and a key from the
    other would send the key to a place that its owner never named.

    Raises:
        UsageError: a file is not TOML, or ``profiles`` is no table of tables.
    """
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in (paths.config_file(), project):
        tables = _read(path).get(PROFILES, {})
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise UsageError(f"{path}: profiles are tables.", hint="Write [profiles.NAME], then its keys.")
        found |= {name: (path, {key.replace("-", "_"): value for key, value in table.items()})
                  for name, table in tables.items()}  # fmt: skip
    return found


def check(command: str, options: dict[str, Any], known: Collection[str]) -> None:
    """Refuse options that ``command`` does not have: a misspelt default that nobody reads helps nobody.

    Raises:
        UsageError: names the option and the nearest one.
    """
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"A settings file sets {name!r} for `{command}`, which has no such option.",
                hint=f"Did you mean {near[0]!r}?" if near else f"See `llmserve {command} --help`.",
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.", hint=f"Mend or remove {path}.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
