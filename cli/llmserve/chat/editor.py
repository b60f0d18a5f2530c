"""A text changed in the user's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from llmserve.errors import UsageError

__all__ = ["edited"]


def edited(text: str) -> str | None:
    """``text`` as the user left it in $VISUAL or $EDITOR (else vi); None if the editor failed, which means: not sent.

    Raises:
        UsageError: there is no such editor.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="llmserve-") as folder:
        path = Path(folder) / "message.md"
        path.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*command, str(path)], check=False)
        except OSError as error:
            raise UsageError(
                f"The editor {command[0]!r} cannot be started: {error.strerror}.", hint="Set EDITOR."
            ) from error
        if done.returncode:
            return None
        return path.read_text(encoding="utf-8", errors="replace").strip()
