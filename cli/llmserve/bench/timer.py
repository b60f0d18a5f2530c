"""Waking up at an instant: finer than the milliseconds of ``epoll_wait``."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from typing import Any

__all__ = ["Timer"]

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NONBLOCK_CLOEXEC = 0o2000000 | 0o4000
_SPEC = struct.Struct("@llll")


class Timer:
    """A file descriptor that becomes readable at an instant of the monotonic clock, given in nanoseconds.

    ``fd`` is None where the system has no timerfd: then the loop spins through the last millisecond.
    """

    def __init__(self) -> None:
        self._settime, self.fd = _timerfd()
        self._armed = 0

    def arm(self, at_ns: int | None) -> None:
        """Wake at ``at_ns``; None disarms."""
        wanted = 0 if at_ns is None else max(at_ns, 1)
        if wanted != self._armed and self._settime:
            self._armed = wanted
            self._settime(self.fd, _ABSOLUTE, _SPEC.pack(0, 0, *divmod(wanted, 10**9)), None)

    def fired(self) -> None:
        """Take note that the descriptor was readable."""
        self._armed = -1
        if self.fd is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self.fd, 8)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)

    @staticmethod
    def now() -> int:
        return time.monotonic_ns()


def _timerfd() -> tuple[Any, int | None]:
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        return (libc.timerfd_settime, fd) if fd >= 0 else (None, None)
    except (ImportError, OSError, AttributeError):
        return None, None
