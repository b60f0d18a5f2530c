from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmserve.hardware import amd
from llmserve.hardware.machine import Link
from llmserve.hardware.probe import Found

GIB = 1024**3
MI300X = 196592 * 1024**2


class Tree:
    """A sysfs tree of AMD cards, written as the kernel shows it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("sys/class/kfd/kfd/topology/nodes/0/properties", "cpu_cores_count 96\nsimd_count 0\n")
        self.write("sys/module/amdgpu/version", "6.14.14\n")
        self.write("dev/kfd", "")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def card(self, node: int, *, name: str = "AMD Instinct MI300X OAM", numa: int = 0, **properties: int) -> Path:
        facts = {
            "cpu_cores_count": 0,
            "simd_count": 1216,
            "gfx_target_version": 90402,
            "unique_id": 0x1A2B3C4D00000000 + node,
            "drm_render_minor": 127 + node,
        } | properties
        lines = "".join(f"{key} {value}\n" for key, value in facts.items())
        base = f"sys/class/kfd/kfd/topology/nodes/{node}"
        self.write(f"{base}/properties", lines)
        self.write(f"{base}/gpu_id", f"{1000 + node}\n")
        pci = self.root / f"sys/devices/pci0000:00/0000:{node:02x}:00.0"
        pci.mkdir(parents=True)
        device = self.root / f"sys/class/drm/renderD{facts['drm_render_minor']}/device"
        device.parent.mkdir(parents=True)
        device.symlink_to(pci)
        for file, text in {
            "mem_info_vram_total": str(MI300X),
            "mem_info_vram_used": str(300 * 1024**2),
            "product_name": name,
            "numa_node": str(numa),
        }.items():
            (pci / file).write_text(text + "\n")
        return pci

    def xgmi(self, *nodes: int) -> None:
        for one in nodes:
            for other in (0, *nodes):
                kind = 11 if other else 2
                path = f"sys/class/kfd/kfd/topology/nodes/{one}/io_links/{other}/properties"
                self.write(path, f"type {kind}\nnode_from {one}\nnode_to {other}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_two_mi300x(tree: Tree) -> None:
    tree.card(1)
    tree.card(2, numa=1)
    tree.xgmi(1, 2)

    found = amd.probe(tree.root)

    first, second = found.gpus
    assert (first.name, first.arch, first.vendor) == ("AMD Instinct MI300X OAM", "gfx942", "amd")
    assert (first.total_bytes, first.free_bytes) == (MI300X, MI300X - 300 * 1024**2)
    assert (first.uuid, second.uuid) == ("GPU-1a2b3c4d00000001", "GPU-1a2b3c4d00000002")
    assert (first.index, second.index) == (0, 1)
    assert (first.numa_node, second.numa_node) == (0, 1)
    assert first.links == (Link(peer=1, kind="xgmi"),)
    assert second.links == (Link(peer=0, kind="xgmi"),)
    assert (found.driver, found.notes, found.findings) == ("6.14.14", (), ())


def test_without_xgmi_the_sockets_decide(tree: Tree) -> None:
    for node, numa in ((1, 0), (2, 0), (3, 1)):
        tree.card(node, numa=numa)
    links = amd.probe(tree.root).gpus[0].links
    assert links == (Link(peer=1, kind="pcie"), Link(peer=2, kind="system"))


def test_nodes_are_counted_as_numbers(tree: Tree) -> None:
    for node in (10, 2):
        tree.card(node)
    assert [gpu.uuid[-1] for gpu in amd.probe(tree.root).gpus] == ["2", "a"]


@pytest.mark.parametrize(
    ("version", "name"),
    [(90402, "gfx942"), (90010, "gfx90a"), (110000, "gfx1100"), (120001, "gfx1201"), (90500, "gfx950"), (0, "")],
)
def test_architecture_names(version: int, name: str) -> None:
    assert amd.gfx(version) == name


def test_owners_come_from_the_kernels_accounts(tree: Tree) -> None:
    tree.card(1)
    tree.write("sys/class/kfd/kfd/proc/999999999/vram_1001", f"{90 * GIB}\n")
    tree.write("sys/class/kfd/kfd/proc/999999998/vram_1001", f"{5 * GIB}\n")
    tree.write("sys/class/kfd/kfd/proc/999999997/vram_7777", f"{5 * GIB}\n")
    owners = amd.probe(tree.root).gpus[0].owners
    assert [(owner.pid, owner.used_bytes) for owner in owners] == [(999999999, 90 * GIB), (999999998, 5 * GIB)]


def test_a_partition_has_the_memory_of_its_node_and_its_ordinal_as_name(tree: Tree) -> None:
    """In CPX mode one MI300X is eight nodes, whose render devices have no memory files."""
    for node in (1, 2):
        pci = tree.card(node, unique_id=77)
        (pci / "mem_info_vram_total").unlink()
        tree.write(f"sys/class/kfd/kfd/topology/nodes/{node}/mem_banks/0/properties", f"size_in_bytes {24 * GIB}\n")
    tree.write("sys/class/kfd/kfd/proc/999999999/vram_1002", f"{4 * GIB}\n")

    first, second = amd.probe(tree.root).gpus

    assert (first.total_bytes, first.free_bytes) == (24 * GIB, 24 * GIB)
    assert (second.total_bytes, second.free_bytes) == (24 * GIB, 20 * GIB)
    assert (first.uuid, second.uuid) == ("0", "1")


@pytest.mark.parametrize(("file", "text"), [("mem_info_vram_used", "garbage"), ("mem_info_vram_used", str(MI300X + 1))])
def test_a_card_with_impossible_memory_is_left_out(tree: Tree, file: str, text: str) -> None:
    pci = tree.card(1)
    (pci / file).write_text(text)
    found = amd.probe(tree.root)
    assert found.gpus == ()
    assert "its memory is unknown" in found.notes[0]


def test_a_card_without_uuid_goes_by_its_ordinal(tree: Tree) -> None:
    tree.card(1, unique_id=0)
    assert amd.probe(tree.root).gpus[0].uuid == "0"


class Smi(SimpleNamespace):
    """``amdsmi`` with two cards, in another order than the kernel's."""

    def amdsmi_init(self) -> None:
        self.open = True

    def amdsmi_shut_down(self) -> None:
        self.open = False

    def amdsmi_get_processor_handles(self) -> list[str]:
        return ["0000:02:00.0", "0000:01:00.0"]

    def amdsmi_get_gpu_device_bdf(self, handle: str) -> str:
        return handle.upper()

    def amdsmi_get_gpu_asic_info(self, handle: str) -> dict[str, Any]:
        return {"market_name": "AMD Radeon RX 7900 XTX" if handle == "0000:01:00.0" else "N/A"}


def test_amdsmi_names_cards_that_do_not_name_themselves(tree: Tree) -> None:
    tree.card(1, name="", gfx_target_version=110000)
    tree.card(2, name="")
    smi = Smi()
    assert [gpu.name for gpu in amd.probe(tree.root, smi=smi).gpus] == ["AMD Radeon RX 7900 XTX", "AMD GPU (gfx942)"]
    assert smi.open is False


def test_a_broken_or_missing_amdsmi_costs_only_the_name(tree: Tree) -> None:
    tree.card(1, name="")
    assert amd.probe(tree.root, smi=SimpleNamespace()).gpus[0].name == "AMD GPU (gfx942)"
    assert amd.probe(tree.root).gpus[0].name == "AMD GPU (gfx942)"


def test_a_device_that_may_not_be_opened_is_a_finding(tree: Tree) -> None:
    tree.card(1)
    (tree.root / "dev/kfd").unlink()
    found = amd.probe(tree.root)
    assert found.gpus == ()
    assert "/dev/kfd" in found.findings[0].message
    assert "render" in found.findings[0].hint


def test_integrated_graphics_without_access_are_no_finding(tree: Tree) -> None:
    pci = tree.card(1, name="AMD Radeon Graphics")
    (pci / "mem_info_vram_total").write_text(str(GIB // 2))
    (tree.root / "dev/kfd").unlink()
    assert amd.probe(tree.root) == Found()


def test_no_amd_at_all(tmp_path: Path) -> None:
    assert amd.probe(tmp_path) == Found()
