"""API keys: taken from a file, the environment or a prompt, never from the command line, which everybody can read."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from llmserve import paths
from llmserve.addresses import is_loopback
from llmserve.errors import UsageError

ENVIRONMENT = "LLMSERVE_API_KEY"
FILE, ADMIN_FILE = "api-key", "admin-key"
_SECRETS = (ENVIRONMENT, "OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+/=-]{7,511}")  # what an Authorization header carries (RFC 6750)


def api_key(file: str | None, host: str) -> str | None:
    """The key that the server will require, or None for none.

    ``file`` is a path, or ``-`` for standard input (asked for without echo on a terminal). An address that other
    machines reach needs a key: one is made when none is given.

    Raises:
        UsageError: the file cannot be read, or holds no usable key.
    """
    key = _from_file(file) if file else os.environ.get(ENVIRONMENT) or None
    if key is None:
        return None if is_loopback(host) else made()
    if not key:
        raise UsageError("The API key that was given is empty.", hint="Make one: openssl rand -hex 24")
    if not _SHAPE.fullmatch(key):
        raise UsageError(
            "The API key must be 8 to 512 letters, digits or ._~+/=-, a letter or digit first.",
            hint="Make one: openssl rand -hex 24",
        )
    return key


def made() -> str:
    """A new key."""
    return f"sk-{secrets.token_urlsafe(32)}"


def keep(key: str, folder: Path, name: str = FILE) -> Path:
    """Write the key where ``llmserve chat`` and the user find it, readable by its owner alone."""
    paths.write_atomic(folder / name, key + "\n", mode=0o600)
    return folder / name


def read(file: Path) -> str | None:
    """A key that :func:`keep` wrote; None where there is none."""
    try:
        return file.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def forget(folder: Path) -> None:
    """Remove the keys of a server that does not run any more."""
    for name in (FILE, ADMIN_FILE):
        (folder / name).unlink(missing_ok=True)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for processes that need none of the user's keys and tokens."""
    return {name: value for name, value in environment.items() if name not in _SECRETS}


def _from_file(file: str) -> str:
    if file == "-":
        return (getpass.getpass("API key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"The API key file {file} cannot be read: {why}.", hint="Give the path of a file.") from error
