"""Records of what a machine has. They can be saved, loaded and planned for without the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vendor = Literal["nvidia", "amd", "apple"]


@dataclass(frozen=True, kw_only=True)
class MemoryOwner:
    """A process that holds GPU memory. ``used_bytes`` is None where the driver does not say (WSL2, MIG)."""

    pid: int
    name: str
    used_bytes: int | None = None
    user: str | None = None


@dataclass(frozen=True, kw_only=True)
class Link:
    """How a GPU reaches another one: ``nvlink`` (``lanes`` of them), ``pcie`` (same host bridge) or ``system``."""

    peer: int
    kind: Literal["nvlink", "pcie", "system"]
    lanes: int = 0


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU or MIG slice that this user may use. ``index`` is the physical ordinal of the driver."""

    index: int
    uuid: str
    vendor: Vendor
    name: str
    total_bytes: int
    free_bytes: int
    arch: str = ""  # "sm_90", "gfx942", "apple-m3"
    mig: bool = False
    numa_node: int | None = None
    links: tuple[Link, ...] = ()
    owners: tuple[MemoryOwner, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """``cores`` are physical ones within affinity and cgroup limits; ``features`` e.g. avx2, avx512f, amx_bf16."""

    model: str
    cores: int
    threads: int
    features: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Free space where something will land: ``use`` says what (``weights``, ``engines``, ``state``)."""

    use: str
    path: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What ``hardware.detect()`` found, or a profile says. Memory figures are bytes.

    ``ram_total_bytes`` and ``ram_available_bytes`` respect cgroup limits. ``hidden_gpus`` counts cards that
    ``CUDA_VISIBLE_DEVICES`` or ``HIP_VISIBLE_DEVICES`` took away. ``notes`` are findings worth a sentence.
    """

    name: str
    os: str
    arch: str
    cpu: Cpu
    ram_total_bytes: int
    ram_available_bytes: int
    gpus: tuple[Gpu, ...] = ()
    hidden_gpus: int = 0
    disks: tuple[Disk, ...] = ()
    shm_bytes: int | None = None
    driver: str | None = None
    cuda: str | None = None
    container: str | None = None
    notes: tuple[str, ...] = ()
