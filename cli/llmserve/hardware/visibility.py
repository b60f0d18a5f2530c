"""Which GPUs the environment leaves visible, read as the drivers read it.

NVIDIA: ``CUDA_VISIBLE_DEVICES`` (CUDA C++ Programming Guide, "CUDA Environment Variables"). AMD: first
``ROCR_VISIBLE_DEVICES`` (ROCr runtime), then among what it left ``HIP_VISIBLE_DEVICES`` or, without that,
``CUDA_VISIBLE_DEVICES`` (HIP runtime). Common to all: the order given is the order of the devices, an entry that
names nothing hides itself and all that follow, and an empty value hides everything. ``NVIDIA_VISIBLE_DEVICES`` is
no word to the driver but to the container runtime, which has acted before this process started ("void" even
stands where devices were injected another way).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from llmserve.hardware.machine import Gpu

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
)

Numbered = Mapping[int, Gpu]
"""GPUs by the ordinal that a variable counts with, in that order."""
Chosen = tuple[tuple[Gpu, ...], str | None]
"""Visible GPUs in order, and the entry that ended the list early, if one did."""


def apply(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """The GPUs that stay visible, in the variables' order, and sentences on what the variables did."""
    notes: list[str] = []
    nvidia = [gpu for gpu in gpus if gpu.vendor == "nvidia"]
    amd = {gpu.index: gpu for gpu in gpus if gpu.vendor == "amd"}
    rest = [gpu for gpu in gpus if gpu.vendor not in ("nvidia", "amd")]
    name = "CUDA_VISIBLE_DEVICES"
    if nvidia and name in environment:
        notes += _order_note(nvidia, environment)
        nvidia = _told(name, environment[name], cuda(nvidia, environment[name]), notes)
    if amd:
        rest = _amd(amd, environment, notes) + rest
    if not gpus and environment.get("NVIDIA_VISIBLE_DEVICES") in ("none", "void"):
        notes.append(f"NVIDIA_VISIBLE_DEVICES={environment['NVIDIA_VISIBLE_DEVICES']}: this container got no GPU.")
    return (*nvidia, *rest), tuple(notes)


def _amd(numbered: Numbered, environment: Mapping[str, str], notes: list[str]) -> list[Gpu]:
    name = "ROCR_VISIBLE_DEVICES"
    if name in environment:
        left = _told(name, environment[name], rocm(numbered, environment[name], repeated="stop"), notes)
        numbered = dict(enumerate(left))
    name = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in environment else "CUDA_VISIBLE_DEVICES"
    if numbered and name in environment:
        return _told(name, environment[name], rocm(numbered, environment[name], repeated="skip"), notes)
    return list(numbered.values())


def cuda(gpus: Sequence[Gpu], value: str) -> Chosen:
    """``CUDA_VISIBLE_DEVICES``: ordinals or (abbreviated) UUIDs, not mixed; a repeated entry hides everything.

    An ordinal or GPU UUID of a card in MIG mode stands for its first slice, as it does for the driver.
    """
    kind = next((prefix for prefix in ("GPU-", "MIG-") if value.strip().startswith(prefix)), "")
    if not kind:
        numbered = {gpu.index: gpu for gpu in reversed(gpus)}
        return _choose(value, lambda entry: _as_c_reads(numbered, entry), repeated="hide")
    uuids = {gpu.uuid: gpu for gpu in gpus if gpu.mig == (kind == "MIG-")}
    if kind == "GPU-":
        uuids |= {gpu.parent_uuid: gpu for gpu in reversed(gpus) if gpu.parent_uuid}
    return _choose(value, lambda entry: _by_uuid(uuids, entry) if entry.startswith(kind) else None, repeated="hide")


def rocm(numbered: Numbered, value: str, *, repeated: Literal["stop", "skip"]) -> Chosen:
    """``ROCR_VISIBLE_DEVICES`` and ``HIP_VISIBLE_DEVICES``: ordinals and (abbreviated) UUIDs, mixed as one likes.

    A repeated entry ends the former's list and is skipped in the latter's.
    """
    uuids = {gpu.uuid.upper(): gpu for gpu in numbered.values()}

    def match(entry: str) -> Gpu | None:
        if entry.upper().startswith("GPU-"):
            return _by_uuid(uuids, entry.upper())
        return numbered.get(int(entry)) if re.fullmatch(r"\d{1,4}", entry, re.ASCII) else None

    return _choose(value, match, repeated=repeated)


def _choose(value: str, match: Callable[[str], Gpu | None], *, repeated: Literal["hide", "stop", "skip"]) -> Chosen:
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in value.split(",")):
        gpu = match(entry)
        if gpu is None or (gpu in chosen and repeated == "stop"):
            return tuple(chosen), entry
        if gpu in chosen and repeated == "hide":
            return (), entry
        if gpu not in chosen:
            chosen.append(gpu)
    return tuple(chosen), None


def _as_c_reads(numbered: Numbered, entry: str) -> Gpu | None:
    """By the number that an entry begins with: the driver takes "1st" for 1."""
    number = re.match(r"\+?(\d{1,9})", entry, re.ASCII)
    return numbered.get(int(number[1])) if number else None


def _by_uuid(uuids: Mapping[str, Gpu], entry: str) -> Gpu | None:
    """By the whole UUID or a beginning that fits no other."""
    found = [gpu for uuid, gpu in uuids.items() if uuid.startswith(entry)]
    return found[0] if len(found) == 1 else None


def _told(name: str, value: str, chosen: Chosen, notes: list[str]) -> list[Gpu]:
    gpus, culprit = chosen
    if not gpus:
        notes.append(f"{name}={_short(value)} hides every GPU.")
    elif culprit is not None and culprit != "-1":
        notes.append(f"{name}={_short(value)}: the driver ignores {_short(culprit)} and what follows.")
    return list(gpus)


def _order_note(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> list[str]:
    """Ordinals count from the fastest card, but NVML lists cards by bus: with unlike cards the two may differ."""
    alike = len({gpu.name for gpu in gpus}) == 1
    by_number = environment["CUDA_VISIBLE_DEVICES"].strip()[:1].isdigit()
    if alike or not by_number or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return []
    advice = "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name the cards in CUDA_VISIBLE_DEVICES by UUID"
    return [f"CUDA numbers unlike cards from the fastest, nvidia-smi and this list by bus: {advice}."]


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else f"{value[:57]}...")
