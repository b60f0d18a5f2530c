"""What an engine leaves outside its folder, and its removal: temporary files and shared memory.

SGLang makes a dozen files in the temporary folder and segments in /dev/shm, and removes neither when it is stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory


def sweep(folder: str | None, prefixes: tuple[str, ...], *, since: float) -> None:
    """Remove an engine's temporary ``folder`` and its segments. To be called when its processes are gone.

    A segment goes only if it has the engine's kind of name (``prefixes``), is younger than the engine (``since``, in
    seconds since the epoch), belongs to this user, and is mapped by no process that is alive: another engine may run
    beside this one.
    """
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    if not prefixes or not SHARED_MEMORY.is_dir():
        return
    ours = {path for path in SHARED_MEMORY.iterdir() if path.name.startswith(prefixes) and _is_ours(path, since)}
    for segment in ours - _mapped() if ours else ():
        with contextlib.suppress(OSError):
            segment.unlink()


def _is_ours(path: Path, since: float) -> bool:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_uid == os.getuid() and status.st_mtime >= since
    return False


def _mapped() -> set[Path]:
    """Segments in use by any process that this user may look into."""
    found: set[Path] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
            names = (line.partition(f" {SHARED_MEMORY}/")[2] for line in lines)
            found |= {SHARED_MEMORY / name for name in names if name}
    return found
