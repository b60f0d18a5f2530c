"""Free space where weights, engines and state will land, and the size of shared memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from llmserve import paths
from llmserve.hardware.machine import Disk, Finding
from llmserve.hardware.probe import ROOT, reason


def places(environment: Mapping[str, str]) -> dict[str, Path]:
    """Where llmserve and the Hugging Face cache write, by use."""
    return {"weights": hub_cache(environment), "engines": paths.engines_dir(), "state": paths.servers_dir()}


def hub_home(environment: Mapping[str, str]) -> Path:
    """``HF_HOME`` as huggingface_hub resolves it."""
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(environment.get("HF_HOME") or f"{cache}/huggingface")


def hub_cache(environment: Mapping[str, str]) -> Path:
    """``HF_HUB_CACHE`` as huggingface_hub resolves it."""
    own = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    return expanded(own) if own else hub_home(environment) / "hub"


def measure(wanted: Mapping[str, Path]) -> tuple[tuple[Disk, ...], tuple[Finding, ...]]:
    """Space on the file systems that hold, or would hold, the wanted folders."""
    disks, findings = [], []
    for use, path in wanted.items():
        place = _existing(path)
        try:
            space = shutil.disk_usage(place)
        except OSError as error:
            findings.append(_finding(use, f"The disk for {use} ({path}) cannot be examined: {reason(error)}."))
            continue
        disks.append(Disk(use=use, path=str(path), total_bytes=space.total, free_bytes=space.free))
        if not os.access(place, os.W_OK):
            findings.append(_finding(use, f"This user cannot write to the folder for {use} ({path})."))
    return tuple(disks), tuple(findings)


def shared_memory(root: Path = ROOT) -> int | None:
    """The size of /dev/shm in bytes, or None where there is none (macOS)."""
    try:
        return shutil.disk_usage(root / "dev/shm").total
    except OSError:
        return None


def _existing(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if _exists(place)), Path("/"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a parent that this user may not enter
        return False


def _finding(use: str, message: str) -> Finding:
    variable = {"weights": "HF_HOME", "engines": "XDG_DATA_HOME", "state": "XDG_STATE_HOME"}.get(use)
    hint = f"Set {variable} to a folder that you own." if variable else "Choose a folder that you own."
    return Finding(message=message, hint=hint, about=use)


def expanded(path: str) -> Path:
    """A path from a variable, as huggingface_hub reads it; a user who does not exist stays as written."""
    return Path(os.path.expanduser(os.path.expandvars(path)))  # noqa: PTH111 - Path.expanduser raises
