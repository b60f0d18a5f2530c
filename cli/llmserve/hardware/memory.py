"""Main memory as this process may use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmserve.hardware.cgroup import Limits
from llmserve.hardware.probe import ROOT, read


@dataclass(frozen=True, kw_only=True)
class Ram:
    total_bytes: int
    available_bytes: int


def ram(limits: Limits, root: Path = ROOT) -> Ram:
    """The machine's memory, cut down to what control groups allow."""
    total, available = _linux(root) or _elsewhere()
    return within(limits, total=total, available=available)


def _linux(root: Path) -> tuple[int, int] | None:
    """What /proc says: psutil reads the same, and takes longer to import than a plan to be made."""
    kib = {name: value.split()[0] for name, _, value in (line.partition(":") for line in _lines(root)) if value.split()}
    try:
        return int(kib["MemTotal"]) * 1024, int(kib["MemAvailable"]) * 1024
    except (KeyError, ValueError):
        return None


def _lines(root: Path) -> list[str]:
    return (read(root / "proc/meminfo") or "").splitlines()


def _elsewhere() -> tuple[int, int]:
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, memory.available


def within(limits: Limits, *, total: int, available: int) -> Ram:
    if limits.memory_bytes is not None:
        total = min(total, limits.memory_bytes)
    if limits.memory_left_bytes is not None:
        available = min(available, limits.memory_left_bytes)
    return Ram(total_bytes=total, available_bytes=min(available, total))
