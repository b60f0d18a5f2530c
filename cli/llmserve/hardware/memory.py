"""Main memory as this process may use it."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.hardware.cgroup import Limits


@dataclass(frozen=True, kw_only=True)
class Ram:
    total_bytes: int
    available_bytes: int


def ram(limits: Limits) -> Ram:
    """The machine's memory, cut down to what control groups allow."""
    import psutil

    memory = psutil.virtual_memory()
    return within(limits, total=memory.total, available=memory.available)


def within(limits: Limits, *, total: int, available: int) -> Ram:
    if limits.memory_bytes is not None:
        total = min(total, limits.memory_bytes)
    if limits.memory_left_bytes is not None:
        available = min(available, limits.memory_left_bytes)
    return Ram(total_bytes=total, available_bytes=min(available, total))
