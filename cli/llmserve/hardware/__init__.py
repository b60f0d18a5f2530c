"""What the machine has: detected here, or read from a file.

``detect()`` looks at this machine, ``load("h200x8")`` reads a profile; both give a :class:`Machine`.
"""

from __future__ import annotations

from llmserve.hardware.detection import detect
from llmserve.hardware.machine import Cpu, Disk, Finding, Gpu, Link, Machine, MemoryOwner
from llmserve.hardware.profiles import load, names, save

__all__ = ["Cpu", "Disk", "Finding", "Gpu", "Link", "Machine", "MemoryOwner", "detect", "load", "names", "save"]
