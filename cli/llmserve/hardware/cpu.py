"""The processor: its name, the cores this process may use, and the instruction sets that matter for inference."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from llmserve.hardware.machine import Cpu
from llmserve.hardware.probe import ROOT, read

FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "neon")


def probe(root: Path = ROOT, *, quota: float | None = None, allowed: Collection[int] | None = None) -> Cpu:
    """The CPU of a Linux machine as this process may use it.

    Args:
        quota: CPU time per time that control groups grant; caps cores and threads (rounded down, at least 1).
        allowed: CPU numbers of the affinity mask; the process's own by default.
    """
    numbers = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    info = first_processor(root)
    cap = len(numbers) if quota is None else max(1, int(quota))
    threads = max(1, min(len(numbers), cap))
    return Cpu(
        model=model(info),
        cores=max(1, min(_physical(root, numbers), cap)),
        threads=threads,
        features=features(info.get("flags") or info.get("Features") or ""),
    )


def first_processor(root: Path) -> dict[str, str]:
    """The first block of /proc/cpuinfo; the rest is not read, since each block costs the kernel a measurement."""
    block: dict[str, str] = {}
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.strip() and block:
                    break
                key, _, value = line.partition(":")
                block[key.strip()] = value.strip()
    except OSError:
        pass
    return block


def model(info: Mapping[str, str]) -> str:
    """The marketing name, or on Arm, which has none in /proc, the part number."""
    if name := info.get("model name") or info.get("Model"):
        return " ".join(name.split())
    part = info.get("CPU part")
    return f"Arm (implementer {info.get('CPU implementer', '?')}, part {part})" if part else "unknown CPU"


def features(flags: str) -> tuple[str, ...]:
    present = set(flags.lower().split())
    if "asimd" in present:  # what 64-bit Arm calls NEON
        present.add("neon")
    return tuple(name for name in FEATURES if name in present)


def _physical(root: Path, numbers: Collection[int]) -> int:
    """Physical cores behind some CPU numbers: hyper-threads name the same siblings."""
    base = root / "sys/devices/system/cpu"
    siblings = (read(base / f"cpu{number}/topology/thread_siblings_list") or f"cpu{number}" for number in numbers)
    return len(set(siblings))
