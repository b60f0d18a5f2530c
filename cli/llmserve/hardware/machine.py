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
    """How a GPU reaches the one with index ``peer``.

    ``nvlink`` (NVIDIA; ``lanes`` of them, through a switch or directly), ``xgmi`` (AMD's counterpart), ``pcie``
    (under one host bridge) or ``system`` (across host bridges or sockets). No record: the driver does not say.
    """

    peer: int
    kind: Literal["nvlink", "xgmi", "pcie", "system"]
    lanes: int = 0


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU or MIG slice that this user may use. ``index`` is the physical ordinal of the driver.

    Slices of one card share its ``index`` and name the card in ``parent_uuid``.
    """

    index: int
    uuid: str
    vendor: Vendor
    name: str
    total_bytes: int
    free_bytes: int
    arch: str = ""  # "sm_90", "gfx942", "apple-m3"
    mig: bool = False
    parent_uuid: str | None = None
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
class Finding:
    """Hardware that is here but cannot be used as it is: one sentence what, one sentence what to do.

    ``about`` is ``gpu`` or the use of a disk; ``bad`` findings make ``llmserve doctor`` fail.
    """

    message: str
    hint: str
    severity: Literal["warn", "bad"] = "warn"
    about: str = "gpu"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What ``hardware.detect()`` found, or a profile says. Memory figures are bytes.

    ``ram_total_bytes`` and ``ram_available_bytes`` respect cgroup limits. ``hidden_gpus`` counts cards that
    ``CUDA_VISIBLE_DEVICES`` or ``HIP_VISIBLE_DEVICES`` took away. ``gpus`` keeps the order of those variables.
    ``driver`` and ``cuda`` (the newest CUDA it speaks) are the NVIDIA driver's; on AMD ``driver`` is amdgpu's.
    ``notes`` are observations worth a sentence, ``findings`` what stands in the way.
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
    findings: tuple[Finding, ...] = ()
