"""How NVIDIA cards reach each other: NVLink, directly or through switches, else the PCIe tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from llmserve.hardware.machine import Link
from llmserve.hardware.nvml import Nvml

MAX_LINKS = 18  # of a card so far; newer bindings say more in NVML_NVLINK_MAX_LINKS
SWITCH = "switch"


def links(nvml: Nvml, handles: Mapping[int, Any]) -> dict[int, tuple[Link, ...]]:
    """Links of each card to each other card, by index."""
    if len(handles) < 2:
        return dict.fromkeys(handles, ())
    buses = {bus_id(nvml, handle): index for index, handle in handles.items()}
    ends = {index: _far_ends(nvml, handle, buses) for index, handle in handles.items()}
    return {
        index: tuple(link for peer in handles if peer != index and (link := _link(nvml, handles, ends, index, peer)))
        for index in handles
    }


def bus_id(nvml: Nvml, handle: Any) -> str:
    """The PCI address as sysfs writes it, ``0000:07:00.0``; empty if the driver does not say."""
    return _sysfs_style(nvml.ask("nvmlDeviceGetPciInfo", handle))


def _sysfs_style(pci: Any) -> str:
    address = getattr(pci, "busId", "") or ""
    text = address.decode(errors="replace") if isinstance(address, bytes) else str(address)
    domain, _, rest = text.lower().partition(":")
    return f"{domain[-4:]}:{rest}" if rest else ""


def _far_ends(nvml: Nvml, handle: Any, buses: Mapping[str, int]) -> Counter[int | str]:
    """What is at the other end of a card's active NVLinks: card indices, or a switch."""
    ends: Counter[int | str] = Counter()
    for lane in range(getattr(nvml.module, "NVML_NVLINK_MAX_LINKS", MAX_LINKS)):
        state = nvml.ask("nvmlDeviceGetNvLinkState", handle, lane)
        if state is None and (nvml.refused("NOT_SUPPORTED") or nvml.refused("INVALID_ARGUMENT")):
            break  # a card without NVLink, or the lane after its last
        if state:
            ends[_far_end(nvml, handle, lane, buses)] += 1
    return ends


def _far_end(nvml: Nvml, handle: Any, lane: int, buses: Mapping[str, int]) -> int | str:
    if nvml.ask("nvmlDeviceGetNvLinkRemoteDeviceType", handle, lane) == nvml.module.NVML_NVLINK_DEVICE_TYPE_SWITCH:
        return SWITCH
    address = _sysfs_style(nvml.ask("nvmlDeviceGetNvLinkRemotePciInfo", handle, lane))
    return buses.get(address, "elsewhere")


def _link(
    nvml: Nvml, handles: Mapping[int, Any], ends: Mapping[int, Counter[int | str]], index: int, peer: int
) -> Link | None:
    lanes = ends[index][peer] or min(ends[index][SWITCH], ends[peer][SWITCH])
    if lanes:
        return Link(peer=peer, kind="nvlink", lanes=lanes)
    level = nvml.ask("nvmlDeviceGetTopologyCommonAncestor", handles[index], handles[peer])
    if level is None:
        return None
    return Link(peer=peer, kind="pcie" if level <= nvml.module.NVML_TOPOLOGY_HOSTBRIDGE else "system")
