"""One process at a time fetches a file: the locks of the hub's own client, so that both respect each other's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

_MODE = 0o664
"""Others of the same group may wait for a lock, as the hub's client has it."""


class ContentLock:
    """The lock of one file's content. It ends with its process, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody has it.

        Raises:
            OSError: the lock file cannot be written.
        """
        from filelock import FileLock, SoftFileLock, Timeout

        kinds: tuple[type[BaseFileLock], ...] = (FileLock, SoftFileLock)
        for kind in kinds:
            lock = kind(self.path, timeout=0, mode=_MODE, thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            except NotImplementedError:
                continue
            self._lock = lock
            return True
        return True  # neither kind works here: two processes may do the work twice, and each does it whole

    def release(self) -> None:
        """Let go. The lock file stays, as it must: another process may wait for it."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            lock.release()
        except OSError:  # the file is gone, or its disk
            self.path.unlink(missing_ok=True)
