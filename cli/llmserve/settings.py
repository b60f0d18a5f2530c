"""Defaults from files: flags > environment > ./llmserve.toml > the user's config.toml > built in.

A file has one table per command, keyed by option name: ``[up]`` / ``context = 8192``. Typer reads flags and
``LLMSERVE_*`` variables itself and falls back on what :func:`defaults` returns.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from llmserve import paths
from llmserve.errors import UsageError


def defaults(project: Path = Path("llmserve.toml")) -> dict[str, dict[str, Any]]:
    """Option defaults per command, the project's file over the user's.

    Raises:
        UsageError: a file is not TOML, or a command's part of it is not a table.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in (paths.config_file(), project):
        for command, options in _read(path).items():
            if not isinstance(options, dict):
                raise UsageError(f"{path}: {command!r} must be a table.", hint=f"Write [{command}] above its options.")
            named = {name.replace("-", "_"): value for name, value in options.items()}
            merged[command] = merged.get(command, {}) | named
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.", hint=f"Mend or remove {path}.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
