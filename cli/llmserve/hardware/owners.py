"""Who holds GPU memory: a process id as a name and a user."""

from __future__ import annotations

from llmserve.hardware.machine import MemoryOwner


def describe(pid: int, used_bytes: int | None) -> MemoryOwner:
    """The owner with this pid; one that this process cannot see (another container's) stays ``unknown``."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return MemoryOwner(pid=pid, name=process.name(), used_bytes=used_bytes, user=process.username())
    except (psutil.Error, OSError, ValueError, KeyError):
        return MemoryOwner(pid=pid, name="unknown", used_bytes=used_bytes)
