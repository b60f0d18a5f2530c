"""AMD GPUs, as the amdgpu driver describes them under /sys (the same files that AMD's own tools read).

``/sys/class/kfd`` numbers compute devices as ROCm does, so its order is that of ``HIP_VISIBLE_DEVICES``;
``/sys/class/drm`` has their memory. The ``amdsmi`` package, where installed, adds marketing names.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmserve.hardware.machine import Finding, Gpu, Link, MemoryOwner
from llmserve.hardware.owners import describe
from llmserve.hardware.probe import ROOT, Found, read, read_int, to_int

NODES = "sys/class/kfd/kfd/topology/nodes"
PROCESSES = "sys/class/kfd/kfd/proc"
INTEGRATED_BYTES = 4 * 1024**3
_CLOSED = Finding(
    message="There is an AMD GPU, but this process may not open /dev/kfd.",
    hint="Run `sudo usermod -aG render,video $USER` and log in again; containers need --device=/dev/kfd.",
)
XGMI = 11  # HSA_IOLINK_TYPE_XGMI in the kernel's kfd_crat.h


@dataclass(frozen=True)
class _Node:
    """One compute device of the kernel's topology."""

    number: int
    gpu_id: str
    path: Path
    device: Path
    properties: Mapping[str, int]


def probe(root: Path = ROOT, *, smi: Any = None) -> Found:
    """Every AMD GPU that ROCm could use.

    Args:
        smi: the ``amdsmi`` module, or something with its functions; imported only if there is a nameless card.
    """
    nodes = _nodes(root)
    if not nodes:
        return Found()
    notes: list[str] = []
    owners = {node.gpu_id: _owners(root, node.gpu_id) for node in nodes}
    gpus = [gpu for i, node in enumerate(nodes) if (gpu := _gpu(i, node, nodes, owners[node.gpu_id], notes))]
    if not os.access(root / "dev/kfd", os.R_OK | os.W_OK):
        return Found(findings=() if all(map(integrated, gpus)) else (_CLOSED,))
    gpus = _named(_distinct(gpus), nodes, smi)
    return Found(gpus=tuple(gpus), driver=read(root / "sys/module/amdgpu/version"), notes=tuple(notes))


def integrated(gpu: Gpu) -> bool:
    """Whether a GPU is part of a CPU: its own memory is then a scrap of RAM set aside for the screen."""
    return gpu.vendor == "amd" and gpu.total_bytes < INTEGRATED_BYTES


def _nodes(root: Path) -> list[_Node]:
    found = []
    for path in sorted((root / NODES).glob("[0-9]*"), key=lambda path: int(path.name)):
        properties = _properties(path / "properties")
        if properties.get("simd_count") and (minor := properties.get("drm_render_minor", 0)) > 0:
            device = root / f"sys/class/drm/renderD{minor}/device"
            found.append(_Node(int(path.name), read(path / "gpu_id") or "", path, device, properties))
    return found


def _properties(path: Path) -> dict[str, int]:
    rows = (line.split() for line in (read(path) or "").splitlines())
    return {row[0]: value for row in rows if len(row) == 2 and (value := to_int(row[1])) is not None}


def _gpu(index: int, node: _Node, nodes: list[_Node], owners: tuple[MemoryOwner, ...], notes: list[str]) -> Gpu | None:
    name = read(node.device / "product_name") or ""
    arch = gfx(node.properties.get("gfx_target_version", 0))
    memory = _memory(node, owners)
    if memory is None:
        notes.append(f"AMD GPU {index} ({name or arch}) is left out because its memory is unknown.")
        return None
    unique = node.properties.get("unique_id", 0)
    numa = read_int(node.device / "numa_node")
    return Gpu(
        index=index,
        uuid=f"GPU-{unique:016x}" if unique > 0 else str(index),
        vendor="amd",
        name=name,
        total_bytes=memory[0],
        free_bytes=memory[1],
        arch=arch,
        numa_node=numa if numa is not None and numa >= 0 else None,
        links=_links(node, nodes),
        owners=owners,
    )


def gfx(version: int) -> str:
    """``gfx_target_version`` as the compiler's name: 90402 is gfx942, 90010 is gfx90a."""
    if version <= 0:
        return ""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _memory(node: _Node, owners: tuple[MemoryOwner, ...]) -> tuple[int, int] | None:
    total = read_int(node.device / "mem_info_vram_total")
    used = read_int(node.device / "mem_info_vram_used")
    if total is None:  # a partition of a card has no figures of its own in /sys/class/drm
        banks = (_properties(bank / "properties") for bank in (node.path / "mem_banks").glob("[0-9]*"))
        total = sum(bank.get("size_in_bytes", 0) for bank in banks)
        used = sum(owner.used_bytes or 0 for owner in owners)
    return (total, total - used) if used is not None and total > 0 and 0 <= used <= total else None


def _owners(root: Path, gpu_id: str) -> tuple[MemoryOwner, ...]:
    used = {
        int(file.parent.name): size
        for file in (root / PROCESSES).glob(f"[0-9]*/vram_{gpu_id}")
        if file.parent.name.isdigit() and (size := read_int(file))
    }
    return tuple(describe(pid, size) for pid, size in sorted(used.items(), key=lambda item: -item[1]))


def _links(node: _Node, nodes: list[_Node]) -> tuple[Link, ...]:
    """XGMI where the kernel lists it, else PCIe; between sockets where the nearest memory differs."""
    ends = [_properties(link / "properties") for link in (node.path / "io_links").glob("[0-9]*")]
    xgmi = {end.get("node_to") for end in ends if end.get("type") == XGMI}
    here = read(node.device / "numa_node")
    links = []
    for index, other in enumerate(nodes):
        if other.number == node.number:
            continue
        near = here == read(other.device / "numa_node")
        links.append(Link(peer=index, kind="xgmi" if other.number in xgmi else "pcie" if near else "system"))
    return tuple(links)


def _distinct(gpus: list[Gpu]) -> list[Gpu]:
    """Partitions of one card may share its UUID; then only the ordinal tells them apart, which HIP takes as well."""
    count = Counter(gpu.uuid for gpu in gpus)
    return [replace(gpu, uuid=str(gpu.index)) if count[gpu.uuid] > 1 else gpu for gpu in gpus]


def _named(gpus: list[Gpu], nodes: list[_Node], smi: Any) -> list[Gpu]:
    """Names for cards whose memory chip has none: from amdsmi, else the architecture."""
    if all(gpu.name for gpu in gpus):
        return gpus
    names = _market_names(smi)
    addresses = [node.device.resolve().name.lower() for node in nodes]
    return [
        gpu if gpu.name else replace(gpu, name=names.get(addresses[gpu.index]) or f"AMD GPU ({gpu.arch or 'unknown'})")
        for gpu in gpus
    ]


def _market_names(smi: Any) -> dict[str, str]:
    """PCI address -> name. amdsmi fails in many ways (no library, no access, other versions): then there are none."""
    try:
        smi = smi or importlib.import_module("amdsmi")
        smi.amdsmi_init()
        try:
            handles = smi.amdsmi_get_processor_handles()
            return {
                smi.amdsmi_get_gpu_device_bdf(handle).lower(): _market_name(smi, handle)
                for handle in handles
            }  # fmt: skip
        finally:
            smi.amdsmi_shut_down()
    except Exception:
        return {}


def _market_name(smi: Any, handle: Any) -> str:
    name = str(smi.amdsmi_get_gpu_asic_info(handle)["market_name"])
    return "" if name == "N/A" else name
