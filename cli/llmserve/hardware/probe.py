"""What every GPU probe returns, and how probes read the kernel's files: an unreadable one is no fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmserve.hardware.machine import Finding, Gpu

ROOT = Path("/")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One vendor's cards, before visibility variables are applied."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def read(path: Path) -> str | None:
    """The stripped text of a kernel file, or None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return None


def read_int(path: Path) -> int | None:
    """The decimal number in a kernel file, or None."""
    return to_int(read(path))


def to_int(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def reason(error: Exception) -> str:
    """An exception as a few words on one line."""
    return " ".join(str(error).split()) or type(error).__name__
