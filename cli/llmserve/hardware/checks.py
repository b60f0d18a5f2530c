"""What a machine means for serving: one verdict per part, each doubtful one with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from llmserve.hardware.machine import Disk, Gpu, Machine, MemoryOwner
from llmserve.output.text import GIB, gib

Verdict = Literal["ok", "warn", "bad"]

SGLANG_CUDA = (13, 0)
"""SGLang 0.5.19 was the last to come for CUDA 12; CUDA 13 begins with driver 580."""
SGLANG_CAPABILITY = (7, 5)
SHM_BYTES = GIB
OWNERS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of ``llmserve doctor``. ``details`` are further lines, ``hint`` is what to do (empty when ok)."""

    section: str
    name: str
    verdict: Verdict
    message: str
    hint: str = ""
    details: tuple[str, ...] = ()


def examine(machine: Machine) -> list[Check]:
    """Every check of the hardware, in the order of reading."""
    disks = (disk_check(disk, gpus=bool(machine.gpus)) for disk in machine.disks)
    findings = (
        Check(
            section="GPUs" if finding.about == "gpu" else "Disks",
            name=finding.about,
            verdict=finding.severity,
            message=finding.message,
            hint=finding.hint,
        )
        for finding in machine.findings
    )
    checks = [*_system(machine), *_gpus(machine), *disks, *findings]
    order = {"System": 0, "GPUs": 1, "Disks": 2}
    return sorted(checks, key=lambda check: order[check.section])


def _system(machine: Machine) -> Iterator[Check]:
    place = f", in a {machine.container} container" if machine.container else ""
    yield Check(section="System", name="os", verdict="ok", message=f"{machine.os}, {machine.arch}{place}")
    yield cpu_check(machine)
    yield memory_check(machine)


def cpu_check(machine: Machine) -> Check:
    """Whether the embedded engine runs: its wheel for x86 needs AVX2 and uses nothing newer."""
    cpu = machine.cpu
    said = f"{cpu.model}: {_count(cpu.cores, 'core')}, {_count(cpu.threads, 'thread')}"
    features = f"; {' '.join(cpu.features)}" if cpu.features else ""
    if machine.arch in ("x86_64", "amd64") and "avx2" not in cpu.features:
        message = f"{said}; no AVX2, without which the embedded engine ends with an illegal instruction"
        hint = "Choose a machine whose CPU has AVX2, or one with a GPU."
        verdict: Verdict = "warn" if machine.gpus else "bad"
        return Check(section="System", name="cpu", verdict=verdict, message=message, hint=hint)
    idle = any(name.startswith(("avx512", "amx")) for name in cpu.features) and not machine.gpus
    details = ("The embedded engine is built for AVX2 and leaves AVX-512 and AMX unused.",) if idle else ()
    return Check(section="System", name="cpu", verdict="ok", message=said + features, details=details)


def memory_check(machine: Machine) -> Check:
    left = machine.ram_available_bytes
    message = f"{share(left, machine.ram_total_bytes)} available"
    hint = "End programs that hold memory, or raise the container's memory limit." if left < 4 * GIB else ""
    verdict: Verdict = "bad" if left < GIB / 2 else "warn" if left < 4 * GIB else "ok"
    return Check(section="System", name="memory", verdict=verdict, message=message, hint=hint)


def _gpus(machine: Machine) -> Iterator[Check]:
    if not machine.gpus:
        yield _no_gpu(machine)
        return
    for gpu in machine.gpus:
        yield gpu_check(gpu)
    if machine.hidden_gpus:
        message = f"{_count(machine.hidden_gpus, 'GPU')} more, hidden from this process"
        yield Check(section="GPUs", name="hidden", verdict="ok", message=message)
    if machine.driver:
        yield driver_check(machine)
    if len(machine.gpus) > 1:
        yield from _several(machine)


def _no_gpu(machine: Machine) -> Check:
    if machine.hidden_gpus:
        message = f"{_count(machine.hidden_gpus, 'GPU')}, hidden from this process (see the notes)"
        hint = "Unset or correct the variable to use them: llmserve runs on the CPU as things are."
        return Check(section="GPUs", name="gpu", verdict="warn", message=message, hint=hint)
    return Check(section="GPUs", name="gpu", verdict="ok", message="none in use: models run on the CPU")


def gpu_check(gpu: Gpu) -> Check:
    """Whether a GPU is new enough for SGLang and its memory free; who holds it."""
    arch = f" ({gpu.arch})" if gpu.arch else ""
    message = f"{gpu.name}{arch}: {share(gpu.free_bytes, gpu.total_bytes)} free"
    hint = ""
    if (capability := _capability(gpu)) and capability < SGLANG_CAPABILITY:
        hint = "SGLang needs compute capability 7.5 (Turing, 2018) or newer; use the CPU or another GPU."
    elif gpu.free_bytes < gpu.total_bytes / 2 and gpu.vendor != "apple":
        hint = "End what holds the memory, or leave this GPU out with CUDA_VISIBLE_DEVICES."
        hint = hint.replace("CUDA", "HIP") if gpu.vendor == "amd" else hint
    return Check(
        section="GPUs",
        name=f"gpu {gpu.index}",
        verdict="warn" if hint else "ok",
        message=message,
        hint=hint,
        details=tuple(_owners(gpu.owners)),
    )


def _owners(owners: tuple[MemoryOwner, ...]) -> Iterator[str]:
    for owner in owners[:OWNERS_SHOWN]:
        user = f", {owner.user}" if owner.user else ""
        size = gib(owner.used_bytes) if owner.used_bytes is not None else "some memory"
        yield f"{owner.name} (pid {owner.pid}{user}) holds {size}"
    if len(owners) > OWNERS_SHOWN:
        yield f"and {len(owners) - OWNERS_SHOWN} more processes"


def driver_check(machine: Machine) -> Check:
    """Whether the NVIDIA driver speaks the CUDA that SGLang's packages are built with."""
    message = f"version {machine.driver}" + (f", CUDA up to {machine.cuda}" if machine.cuda else "")
    known = tuple(int(part) for part in (machine.cuda or "").split(".") if part.isdigit())
    if known and known < SGLANG_CUDA:
        message += "; SGLang is built for CUDA 13"
        hint = "Install driver 580 or newer (data-centre cards: the package cuda-compat-13-0 will do)."
        return Check(section="GPUs", name="driver", verdict="warn", message=message, hint=hint)
    return Check(section="GPUs", name="driver", verdict="ok", message=message)


def _several(machine: Machine) -> Iterator[Check]:
    yield Check(section="GPUs", name="links", verdict="ok", message=links_sentence(machine.gpus))
    if machine.shm_bytes is None:
        return
    message = f"{gib(machine.shm_bytes)} at /dev/shm"
    if machine.shm_bytes >= SHM_BYTES:
        yield Check(section="GPUs", name="shm", verdict="ok", message=message)
        return
    hint = (
        "Docker: --shm-size=16g. Kubernetes: mount a volume at /dev/shm with "
        "emptyDir: {medium: Memory, sizeLimit: 16Gi}."
    )
    message += ": too little for several GPUs to talk through"
    yield Check(section="GPUs", name="shm", verdict="warn", message=message, hint=hint)


def links_sentence(gpus: tuple[Gpu, ...]) -> str:
    """How the cards reach each other, in one sentence."""
    whole = tuple(gpu for gpu in gpus if not gpu.mig)
    if len(whole) < min(len(gpus), 2):
        return "MIG slices cannot work together: one server per slice"
    gpus = whole
    here = {gpu.index for gpu in gpus}
    links = [(gpu.index, link) for gpu in gpus for link in gpu.links if link.peer in here and link.peer != gpu.index]
    fast = [(index, link) for index, link in links if link.kind in ("nvlink", "xgmi")]
    if not links:
        return "how the GPUs reach each other is not known"
    if not fast:
        slow = "PCIe across sockets or host bridges" if any(link.kind == "system" for _, link in links) else "PCIe"
        return f"{slow}, no NVLink: tensor parallelism is held back"
    name = "NVLink" if fast[0][1].kind == "nvlink" else "Infinity Fabric"
    lanes = (
        f", {fast[0][1].lanes} lanes each" if len({link.lanes for _, link in fast}) == 1 and fast[0][1].lanes else ""
    )
    if len(fast) == len(here) * (len(here) - 1):
        return f"{name} between all GPUs{lanes}"
    pairs = ", ".join(sorted({f"{min(index, link.peer)}-{max(index, link.peer)}" for index, link in fast}))
    return f"{name} between {pairs}{lanes}; PCIe between the others"


def disk_check(disk: Disk, *, gpus: bool) -> Check:
    """Whether what will land on a disk finds room there."""
    wanted = {"weights": 20 * GIB, "engines": (15 if gpus else 4) * GIB}.get(disk.use, GIB // 10)
    message = f"{share(disk.free_bytes, disk.total_bytes)} free in {disk.path}"
    verdict: Verdict = "ok"
    hint = ""
    if disk.free_bytes < wanted:
        verdict = "bad" if disk.use == "weights" and disk.free_bytes < GIB else "warn"
        hint = {
            "weights": "Remove unused models with `hf cache`, or set HF_HOME to a folder on a larger disk.",
            "engines": f"An engine takes up to {gib(wanted)}: set XDG_DATA_HOME to a folder on a larger disk.",
        }.get(disk.use, "Make room on that disk.")
    return Check(section="Disks", name=disk.use, verdict=verdict, message=message, hint=hint)


def _capability(gpu: Gpu) -> tuple[int, int] | None:
    digits = gpu.arch.removeprefix("sm_")
    known = gpu.vendor == "nvidia" and digits.isdigit() and len(digits) >= 2
    return (int(digits[:-1]), int(digits[-1])) if known else None


def share(part: int, whole: int) -> str:
    """``22.7 of 24.0 GiB``; small parts in MiB."""
    left = f"{part / GIB:.1f}" if part >= GIB / 10 else gib(part)
    return f"{left} of {whole / GIB:.1f} GiB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
