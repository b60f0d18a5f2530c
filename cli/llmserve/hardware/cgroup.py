"""What control groups (v1, v2 or both) leave of the machine: a limit at any level holds for all levels below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llmserve.hardware.probe import ROOT, read, read_int, to_int

UNLIMITED = 1 << 60  # v1 writes "no limit" as the largest multiple of a page below 2^63


@dataclass(frozen=True, kw_only=True)
class Limits:
    """``cpus`` is CPU time per time, ``memory_left_bytes`` what may still be taken (page cache counts as free)."""

    cpus: float | None = None
    memory_bytes: int | None = None
    memory_left_bytes: int | None = None


def limits(root: Path = ROOT) -> Limits:
    """The tightest limits on this process along its groups and their parents."""
    cpus, totals, lefts = [], [], []
    for directory in _directories(root):
        if (quota := _quota(directory)) is not None:
            cpus.append(quota)
        if (total := _memory(directory)) is not None:
            totals.append(total)
            lefts.append(max(0, total - _unreclaimable(directory)))
    return Limits(
        cpus=min(cpus, default=None),
        memory_bytes=min(totals, default=None),
        memory_left_bytes=min(lefts, default=None),
    )


def _directories(root: Path) -> Iterator[Path]:
    """Every directory that may hold a limit: each hierarchy's group of this process and all its parents."""
    groups = _groups(read(root / "proc/self/cgroup") or "")
    for controller, top, mount in _mounts(read(root / "proc/self/mountinfo") or ""):
        if controller not in groups:
            continue
        inside = _below(groups[controller], top)
        base = root / mount.lstrip("/")
        yield from (base / step for step in (inside, *inside.parents))


def _groups(text: str) -> dict[str, str]:
    """Controller -> group path; the v2 hierarchy is named by the empty string."""
    rows = (line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2)
    return {name: path for _, names, path in rows for name in names.split(",")}


def _mounts(text: str) -> Iterator[tuple[str, str, str]]:
    """(controller, path in the hierarchy, mount point) of each cgroup mount with CPU or memory limits."""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            yield "", fields[3], fields[4]
        elif kind[0] == "cgroup":
            controllers = {"cpu", "memory"} & set(kind[2].split(","))
            yield from ((controller, fields[3], fields[4]) for controller in controllers)


def _below(group: str, top: str) -> PurePosixPath:
    """Where a group lies under a mount; inside a container the mount may already be the group itself."""
    try:
        inside = PurePosixPath(group).relative_to(top)
    except ValueError:
        return PurePosixPath()
    return PurePosixPath() if ".." in inside.parts else inside


def _quota(directory: Path) -> float | None:
    if (text := read(directory / "cpu.max")) is not None:
        allowed, _, period = text.partition(" ")
        return _ratio(to_int(allowed), to_int(period))
    return _ratio(read_int(directory / "cpu.cfs_quota_us"), read_int(directory / "cpu.cfs_period_us"))


def _ratio(allowed: int | None, period: int | None) -> float | None:
    return allowed / period if allowed and period and allowed > 0 and period > 0 else None


def _memory(directory: Path) -> int | None:
    """``memory.high`` counts as a limit too: above it the kernel throttles a process until it crawls."""
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    found = [value for name in names if (value := read_int(directory / name)) is not None]
    return min((value for value in found if 0 <= value < UNLIMITED), default=None)


def _unreclaimable(directory: Path) -> int:
    """Bytes in use that the kernel cannot drop: all but the page cache of files."""
    used = read_int(directory / "memory.current")
    prefix = ""
    if used is None:
        used, prefix = read_int(directory / "memory.usage_in_bytes"), "total_"
    rows = (line.split() for line in (read(directory / "memory.stat") or "").splitlines())
    stat = {row[0]: to_int(row[1]) or 0 for row in rows if len(row) == 2}
    cache = stat.get(f"{prefix}active_file", 0) + stat.get(f"{prefix}inactive_file", 0)
    return max(0, (used or 0) - cache)
