"""The operating system and the container around this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from llmserve.hardware.probe import ROOT, read


def os_name(root: Path = ROOT) -> str:
    """For example ``Ubuntu 24.04.1 LTS, Linux 6.8.0-45-generic`` or ``macOS 15.1``."""
    kernel = os.uname()
    if kernel.sysname == "Darwin":
        import platform

        return f"macOS {platform.mac_ver()[0]}"
    name = f"{kernel.sysname} {kernel.release}"
    distribution = _distribution(read(root / "etc/os-release") or "")
    suffix = " (WSL2)" if in_wsl(kernel.release) else ""
    return f"{distribution}, {name}{suffix}" if distribution else f"{name}{suffix}"


def in_wsl(release: str) -> bool:
    """Whether a kernel release is that of the Windows Subsystem for Linux."""
    return "microsoft" in release.lower()


def container(environment: Mapping[str, str], root: Path = ROOT) -> str | None:
    """The kind of container this process is in (``docker``, ``podman``, ``kubernetes``, ...), or None."""
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes"
    if "APPTAINER_CONTAINER" in environment or "SINGULARITY_CONTAINER" in environment:
        return "apptainer"
    for marker, kind in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / marker).exists():
            return kind
    # systemd-nspawn, LXC and toolbox set this name in lower case.
    return environment.get("container") or _from_groups(read(root / "proc/1/cgroup") or "")


def _from_groups(text: str) -> str | None:
    kinds = {"kubepods": "kubernetes", "docker": "docker", "libpod": "podman", "containerd": "containerd", "lxc": "lxc"}
    return next((kind for word, kind in kinds.items() if word in text), None)


def _distribution(text: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip("\"'")
    return ""
