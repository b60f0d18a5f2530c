"""What an engine leaves outside its folder, and its removal: temporary files and shared memory.

SGLang makes a dozen files in the temporary folder and segments in /dev/shm, and removes neither when it is stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory


class Leftovers:
    """A temporary folder for one engine (``folder``; its ``TMPDIR``), and its segments, known by ``prefixes``."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        # not in the server's own folder: the path of a Unix socket may have 107 characters
        self.folder = tempfile.mkdtemp(prefix="llmserve-")
        self._prefixes = tuple(prefixes)
        self._before = self._segments()

    def remove(self) -> None:
        """To be called when the engine's processes are gone.

        A segment goes only if it has the engine's kind of name, is newer than the engine, belongs to this user, and is
        mapped by no process that is alive: another engine may run beside this one.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        new = self._segments() - self._before
        for segment in new - _mapped() if new else ():
            with contextlib.suppress(OSError):
                if segment.stat().st_uid == os.getuid():
                    segment.unlink()

    def _segments(self) -> set[Path]:
        with contextlib.suppress(OSError):
            return {path for path in SHARED_MEMORY.iterdir() if path.name.startswith(self._prefixes)}
        return set()


def _mapped() -> set[Path]:
    """Segments in use by any process that this user may look into."""
    found: set[Path] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
            names = (line.partition(f" {SHARED_MEMORY}/")[2] for line in lines)
            found |= {SHARED_MEMORY / name for name in names if name}
    return found
