"""What the machine has: detected here, or read from a file.

``detect()`` looks at this machine, ``load("h200x8")`` reads a profile; both give a :class:`Machine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from llmserve.hardware.machine import Cpu, Disk, Finding, Gpu, Link, Machine, MemoryOwner
from llmserve.hardware.profiles import load, names, save

__all__ = ["Cpu", "Disk", "Finding", "Gpu", "Link", "Machine", "MemoryOwner", "detect", "load", "names", "save"]


def detect(*, disks: Mapping[str, Path] | None = None) -> Machine:
    """This machine as this process may use it; ``disks`` are folders to measure by use.

    The probes are imported here: plans for profiles do without them.
    """
    from llmserve.hardware import detection

    return detection.detect(disks=disks)
