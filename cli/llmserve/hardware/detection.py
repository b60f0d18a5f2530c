"""One look at this machine: every probe answers or is noted, none can fail the rest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from llmserve.hardware import amd, cgroup, disks, memory, system, visibility
from llmserve.hardware.machine import Cpu, Disk, Finding, Gpu, Machine
from llmserve.hardware.memory import Ram
from llmserve.hardware.probe import Found, reason

Answer = TypeVar("Answer")


def detect(*, disks: Mapping[str, Path] | None = None) -> Machine:
    """This machine as this process may use it: visible GPUs, cores and memory within container limits.

    Args:
        disks: folders to measure by use; by default the Hugging Face cache (``weights``), ``engines`` and ``state``.
    """
    return _Look(dict(os.environ)).machine(disks)


class _Look:
    """The notes of one detection, and the probes that add to them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.notes: list[str] = []

    def machine(self, wanted: Mapping[str, Path] | None) -> Machine:
        limits = self.attempt("control group limits", cgroup.limits, cgroup.Limits())
        ram = self.attempt("main memory", lambda: memory.ram(limits), Ram(total_bytes=0, available_bytes=0))
        cpu, cards = self.processors(limits, ram)
        gpus, hidden = self.visible(cards)
        nothing: tuple[tuple[Disk, ...], tuple[Finding, ...]] = ((), ())
        measured, troubles = self.attempt("disk space", lambda: disks.measure(self.places(wanted)), nothing)
        return Machine(
            name=describe(cpu, gpus),
            os=self.attempt("operating system", system.os_name, "unknown"),
            arch=os.uname().machine,
            cpu=cpu,
            ram_total_bytes=ram.total_bytes,
            ram_available_bytes=ram.available_bytes,
            gpus=gpus,
            hidden_gpus=hidden,
            disks=measured,
            shm_bytes=disks.shared_memory(),
            driver=next((found.driver for found in cards if found.driver), None),
            cuda=next((found.cuda for found in cards if found.cuda), None),
            container=self.attempt("container", lambda: system.container(self.environment), None),
            notes=tuple(self.notes),
            findings=tuple(finding for found in cards for finding in found.findings) + troubles,
        )

    def places(self, wanted: Mapping[str, Path] | None) -> Mapping[str, Path]:
        return disks.places(self.environment) if wanted is None else wanted

    def processors(self, limits: cgroup.Limits, ram: Ram) -> tuple[Cpu, list[Found]]:
        """The CPU and each vendor's cards; probes are imported where they can find something."""
        from llmserve.hardware import apple

        unknown = Cpu(model="unknown CPU", cores=1, threads=1)
        if apple.present():
            values = self.attempt("sysctl", lambda: apple.sysctl(apple.KEYS), dict[str, str]())
            return apple.cpu(values), [self.attempt("Apple GPU", lambda: apple.probe(values, ram), Found())]
        from llmserve.hardware import cpu, nvidia

        processor = self.attempt("CPU", lambda: cpu.probe(quota=limits.cpus), unknown)
        if limits.cpus is not None and limits.cpus < (os.cpu_count() or 1):
            self.notes.append(f"A quota limits this process to the time of {limits.cpus:g} of {os.cpu_count()} CPUs.")
        return processor, [
            self.attempt("NVIDIA", lambda: nvidia.probe(ram=ram), Found()),
            self.attempt("AMD", amd.probe, Found()),
        ]

    def visible(self, cards: list[Found]) -> tuple[tuple[Gpu, ...], int]:
        found = [gpu for vendor in cards for gpu in vendor.gpus]
        self.notes += [note for vendor in cards for note in vendor.notes]
        gpus, notes = visibility.apply(found, self.environment)
        dedicated, integrated = discrete(gpus)
        self.notes += notes + integrated
        return dedicated, len(found) - len(gpus)

    def attempt(self, what: str, probe: Callable[[], Answer], default: Answer) -> Answer:
        try:
            return probe()
        except Exception as error:  # whatever a kernel, driver or library does, a user gets the rest
            self.notes.append(f"The {what} could not be examined: {reason(error)}.")
            return default


def discrete(gpus: Sequence[Gpu]) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """GPUs without those inside CPUs, which still take part in the numbering of ``HIP_VISIBLE_DEVICES``."""
    notes = (f"{gpu.name} is left out: it is part of the CPU." for gpu in gpus if amd.integrated(gpu))
    return tuple(gpu for gpu in gpus if not amd.integrated(gpu)), tuple(notes)


def describe(cpu: Cpu, gpus: tuple[Gpu, ...]) -> str:
    """A name that says what the machine is and not whose: ``8 x NVIDIA H200``, ``AMD EPYC 9554, 64 cores``."""
    if not gpus:
        return f"{cpu.model}, {cpu.cores} core{'' if cpu.cores == 1 else 's'}"
    count = Counter(gpu.name for gpu in gpus)
    return ", ".join(name if number == 1 else f"{number} x {name}" for name, number in count.items())
