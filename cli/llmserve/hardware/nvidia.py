"""NVIDIA GPUs, as the driver's management library describes them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmserve.hardware import topology
from llmserve.hardware.machine import Finding, Gpu, Link
from llmserve.hardware.memory import Ram
from llmserve.hardware.nvml import Nvml
from llmserve.hardware.probe import ROOT, Found, read, read_int, reason

TRACES = ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/dxg", "sys/module/nvidia")
"""Files of a loaded driver (``dxg``: WSL2). Looking for them costs microseconds, importing pynvml 20 ms."""

UNIFIED = ("GB10", "Thor", "Orin")
"""Chips whose GPU has no memory of its own; NVML answers "not supported" when asked for it."""

PCI_VENDOR = "0x10de"


@dataclass
class _Survey:
    """What one pass over the cards gathers."""

    nvml: Nvml
    ram: Ram | None
    root: Path
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def probe(module: Any = None, *, ram: Ram | None = None, root: Path = ROOT) -> Found:
    """Every NVIDIA GPU or MIG slice that the driver shows.

    Args:
        module: ``pynvml``, or something with its functions; imported only if a driver seems to be loaded.
        ram: main memory, which is the GPU's memory too on chips that share it.
    """
    if module is None:
        if not any((root / trace).exists() for trace in TRACES):
            return _without_driver(root)
        try:
            module = importlib.import_module("pynvml")
        except ImportError:
            return Found(notes=("The package nvidia-ml-py cannot be imported, so NVIDIA GPUs stay unseen.",))
    try:
        module.nvmlInit()
    except Exception as error:
        finding = _broken_driver(module, error, root)
        return Found(findings=(finding,) if finding else ())
    try:
        return _survey(_Survey(Nvml(module), ram, root))
    finally:
        Nvml(module).ask("nvmlShutdown")


def _survey(survey: _Survey) -> Found:
    nvml = survey.nvml
    count = nvml.ask("nvmlDeviceGetCount")
    if count is None:
        survey.findings.append(_silent_driver(nvml.why))
    handles = {index: handle for index in range(count or 0) if (handle := _handle(survey, index)) is not None}
    links = topology.links(nvml, handles)
    cards = [gpu for index, handle in handles.items() for gpu in _card(survey, index, handle, links[index])]
    cuda = nvml.ask("nvmlSystemGetCudaDriverVersion_v2") or nvml.ask("nvmlSystemGetCudaDriverVersion")
    return Found(
        gpus=tuple(cards),
        driver=nvml.text("nvmlSystemGetDriverVersion") or None,
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        notes=tuple(survey.notes),
        findings=tuple(survey.findings),
    )


def _handle(survey: _Survey, index: int) -> Any:
    handle = survey.nvml.ask("nvmlDeviceGetHandleByIndex", index)
    if handle is None and survey.nvml.refused("NO_PERMISSION"):
        survey.notes.append(f"GPU {index} is not open to this user or container.")
    elif handle is None:
        hint = "Look for Xid errors in `dmesg`; reset the card (`nvidia-smi --gpu-reset`) or restart the machine."
        message = f"GPU {index} does not answer: {survey.nvml.why}."
        survey.findings.append(Finding(message=message, hint=hint, severity="bad"))
    return handle


def _card(survey: _Survey, index: int, handle: Any, links: tuple[Link, ...]) -> Iterator[Gpu]:
    """The card, or its slices where it is divided; slices reach no other card."""
    nvml = survey.nvml
    capability = nvml.ask("nvmlDeviceGetCudaComputeCapability", handle)
    arch = f"sm_{capability[0]}{capability[1]}" if capability else ""
    address = topology.bus_id(nvml, handle)
    node = read_int(survey.root / "sys/bus/pci/devices" / address / "numa_node") if address else None
    numa = node if node is not None and node >= 0 else None
    uuid = nvml.text("nvmlDeviceGetUUID", handle)
    mode = nvml.ask("nvmlDeviceGetMigMode", handle)
    if mode and mode[0]:
        yield from _slices(survey, index, handle, arch=arch, numa=numa, parent=uuid)
        return
    facts = {"index": index, "uuid": uuid or str(index), "arch": arch, "numa_node": numa, "links": links}
    if gpu := _gpu(survey, handle, f"GPU {index}", **facts):
        yield gpu


def _slices(survey: _Survey, index: int, card: Any, *, arch: str, numa: int | None, parent: str) -> Iterator[Gpu]:
    nvml = survey.nvml
    found = 0
    for number in range(nvml.ask("nvmlDeviceGetMaxMigDeviceCount", card) or 0):
        handle = nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", card, number)
        uuid = nvml.text("nvmlDeviceGetUUID", handle) if handle is not None else ""
        if not uuid:
            continue
        found += 1
        facts = {"index": index, "uuid": uuid, "arch": arch, "numa_node": numa, "mig": True}
        gpu = _gpu(survey, handle, f"MIG slice {number} of GPU {index}", **facts, parent_uuid=parent or None)
        if gpu:
            yield gpu
    if not found:
        hint = "Create instances with `nvidia-smi mig -cgi PROFILE -C`, or end MIG with `nvidia-smi -i N -mig 0`."
        survey.findings.append(Finding(message=f"GPU {index} is in MIG mode but has no instances.", hint=hint))


def _gpu(survey: _Survey, handle: Any, label: str, **facts: Any) -> Gpu | None:
    nvml = survey.nvml
    name = nvml.text("nvmlDeviceGetName", handle) or "NVIDIA GPU"
    memory = nvml.memory(handle)
    if memory is None and survey.ram and nvml.refused("NOT_SUPPORTED") and any(chip in name for chip in UNIFIED):
        memory = survey.ram.total_bytes, survey.ram.available_bytes
        survey.notes.append(f"{label} shares main memory with the CPU; its memory is counted as the RAM.")
    if memory is None:
        survey.notes.append(f"{label} ({name}) is left out because its memory is unknown: {nvml.why}.")
        return None
    owners = nvml.owners(handle, memory[0])
    if owners is None:
        survey.notes.append(f"{label}: the driver does not list the processes that hold its memory ({nvml.why}).")
    return Gpu(
        vendor="nvidia", name=name, total_bytes=memory[0], free_bytes=memory[1], owners=owners or (), **facts
    )  # fmt: skip


def _broken_driver(module: Any, error: Exception, root: Path) -> Finding | None:
    code = getattr(error, "value", None)
    if code == module.NVML_ERROR_LIBRARY_NOT_FOUND:
        return _missing_library(root)
    if code == module.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        message = "The NVIDIA kernel driver and its library have different versions (an update is half done)."
        return Finding(message=message, hint="Restart the machine, or reload the nvidia modules.", severity="bad")
    if code == module.NVML_ERROR_DRIVER_NOT_LOADED:
        message = "NVIDIA's library is installed, but its kernel driver is not loaded."
        return Finding(message=message, hint="Run `sudo modprobe nvidia` and read `dmesg` if that fails.")
    return _silent_driver(reason(error))


def _silent_driver(why: str) -> Finding:
    return Finding(
        message=f"The NVIDIA driver does not answer: {why}.", hint="See what `nvidia-smi` says.", severity="bad"
    )


def _missing_library(root: Path) -> Finding | None:
    """The driver is loaded, yet no library talks to it: normal on WSL2 without NVIDIA, a container's flaw elsewhere."""
    if not (root / TRACES[0]).exists():
        return None
    message = "An NVIDIA driver is loaded, but its library libnvidia-ml.so.1 is not here."
    return Finding(message=message, hint="In a container, start it with `--gpus all`; else reinstall the driver.")


def _without_driver(root: Path) -> Found:
    """No driver: only a card that waits for one is worth a word."""
    for device in (root / "sys/bus/pci/devices").glob("*"):
        if read(device / "vendor") == PCI_VENDOR and (read(device / "class") or "").startswith("0x03"):
            bound = device / "driver"
            if bound.is_symlink() and bound.readlink().name == "vfio-pci":  # given to a virtual machine
                continue
            message = "An NVIDIA card is on the PCI bus, but no NVIDIA driver is loaded."
            hint = "Install the driver (in a container: on the host), then check with `nvidia-smi`."
            return Found(findings=(Finding(message=message, hint=hint),))
    return Found()
