"""Apple silicon: one GPU that shares main memory with the CPU."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence

from llmserve.hardware.cpu import features
from llmserve.hardware.machine import Cpu, Gpu
from llmserve.hardware.memory import Ram
from llmserve.hardware.probe import Found, to_int

GIB = 1024**3
KEYS = (
    "machdep.cpu.brand_string",
    "machdep.cpu.leaf7_features",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "hw.optional.arm64",
    "iogpu.wired_limit_mb",
)

Sysctl = Callable[[Sequence[str]], Mapping[str, str]]


def present() -> bool:
    return os.uname().sysname == "Darwin"


def sysctl(names: Sequence[str]) -> dict[str, str]:
    """Kernel values by name; names that this Mac does not know are missing."""
    done = subprocess.run(["/usr/sbin/sysctl", *names], capture_output=True, text=True, timeout=5, check=False)
    rows = (line.partition(": ") for line in done.stdout.splitlines())
    return {name: value.strip() for name, _, value in rows}


def cpu(values: Mapping[str, str]) -> Cpu:
    """The processor from :func:`sysctl` values of ``KEYS``."""
    cores = to_int(values.get("hw.physicalcpu")) or 1
    flags = values.get("machdep.cpu.leaf7_features", "")
    return Cpu(
        model=values.get("machdep.cpu.brand_string") or "unknown CPU",
        cores=cores,
        threads=to_int(values.get("hw.logicalcpu")) or cores,
        features=features("neon" if values.get("hw.optional.arm64") == "1" else flags),
    )


def probe(values: Mapping[str, str], ram: Ram) -> Found:
    """The GPU of an M-series chip; none on Intel Macs, whose GPUs no engine here uses."""
    model = values.get("machdep.cpu.brand_string", "")
    if not (chip := re.match(r"Apple (M\d+)", model)):
        return Found()
    total = working_set(ram.total_bytes, to_int(values.get("iogpu.wired_limit_mb")) or 0)
    gpu = Gpu(
        index=0,
        uuid="apple-0",
        vendor="apple",
        name=f"{model} GPU",
        total_bytes=total,
        free_bytes=min(total, ram.available_bytes),
        arch=f"apple-{chip[1].lower()}",
    )
    note = (
        f"The GPU shares main memory; {total / GIB:.1f} of {ram.total_bytes / GIB:.1f} GiB are counted as its own, "
        "the share that Metal recommends (sysctl iogpu.wired_limit_mb raises it)."
    )
    return Found(gpus=(gpu,), notes=(note,))


def working_set(ram_bytes: int, wired_limit_mb: int = 0) -> int:
    """Bytes that Metal recommends to use at most: two thirds of small memories, three quarters from 36 GB on.

    Metal states its figure only to Metal programs; this is the rule seen in llama.cpp's start-up logs
    (10.67 of 16 GiB, 21.33 of 32 GiB, 27 of 36 GiB, 48 of 64 GiB).
    """
    if wired_limit_mb > 0:
        return min(ram_bytes, wired_limit_mb * 1024**2)
    return ram_bytes * 3 // 4 if ram_bytes >= 36 * GIB else ram_bytes * 2 // 3
