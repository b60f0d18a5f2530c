from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pynvml
import pytest

from llmserve.hardware import nvidia, nvml, topology
from llmserve.hardware.machine import Link
from llmserve.hardware.memory import Ram
from llmserve.hardware.probe import Found
from tests.unit.hardware.fake_nvml import MIB, Card, FakeNvml, h100

NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
RTX_4090: dict[str, Any] = {
    "name": "NVIDIA GeForce RTX 4090",
    "capability": (8, 9),
    "total": 24564 * MIB,
    "free": 8000 * MIB,
}


def card_4090(**changes: Any) -> Card:
    return Card(**({**RTX_4090, "uuid": "GPU-4090", "errors": {"nvmlDeviceGetMigMode": NOT_SUPPORTED}} | changes))


def test_every_function_asked_for_exists_in_the_installed_binding() -> None:
    fake = FakeNvml(h100(0, lanes=("switch",), mig=True, slices=(h100(2),)), h100(1, lanes=("switch", "elsewhere")))
    nvidia.probe(fake)

    assert len(fake.called) > 15
    assert [name for name in fake.called if not hasattr(pynvml, name)] == []


def test_a_pair_of_h100_behind_nvswitch(tmp_path: Path) -> None:
    node = tmp_path / "sys/bus/pci/devices/0000:02:00.0"
    node.mkdir(parents=True)
    (node / "numa_node").write_text("1\n")

    found = nvidia.probe(FakeNvml(*(h100(i, lanes=("switch",) * 18) for i in range(2))), root=tmp_path)

    first, second = found.gpus
    assert first.name == "NVIDIA H100 80GB HBM3"
    assert first.uuid == "GPU-0a2b3c4d-0000-0000-0000-000000000000"
    assert (first.total_bytes, first.free_bytes, first.arch) == (81559 * MIB, 80957 * MIB, "sm_90")
    assert first.links == (Link(peer=1, kind="nvlink", lanes=18),)
    assert second.links == (Link(peer=0, kind="nvlink", lanes=18),)
    assert (first.numa_node, second.numa_node) == (None, 1)
    assert (found.driver, found.cuda, found.notes, found.findings) == ("580.95.05", "13.0", (), ())


def test_bridged_cards_know_their_partner_and_the_tree_to_the_others() -> None:
    bridge = ("00000000:02:00.0",) * 4
    cards = (
        h100(0, lanes=(*bridge, None)),
        h100(1, lanes=("00000000:01:00.0",) * 4),
        h100(2, errors={"nvmlDeviceGetNvLinkState": NOT_SUPPORTED}),
    )

    def level(one: Card, other: Card) -> int:
        return int(pynvml.NVML_TOPOLOGY_SYSTEM if cards[0] in (one, other) else pynvml.NVML_TOPOLOGY_HOSTBRIDGE)

    gpus = nvidia.probe(FakeNvml(*cards, level=level)).gpus

    assert gpus[0].links == (Link(peer=1, kind="nvlink", lanes=4), Link(peer=2, kind="system"))
    assert gpus[1].links == (Link(peer=0, kind="nvlink", lanes=4), Link(peer=2, kind="pcie"))
    assert gpus[2].links == (Link(peer=0, kind="system"), Link(peer=1, kind="pcie"))


def test_lanes_to_a_card_that_is_not_in_this_container_link_nothing() -> None:
    cards = [h100(i, lanes=("00000000:7F:00.0",) * 2) for i in range(2)]
    for card in cards:
        card.errors["nvmlDeviceGetTopologyCommonAncestor"] = NOT_SUPPORTED

    assert [gpu.links for gpu in nvidia.probe(FakeNvml(*cards)).gpus] == [(), ()]


def test_a_single_card_is_not_asked_for_links() -> None:
    fake = FakeNvml(h100(0, lanes=("switch",) * 18))
    nvidia.probe(fake)
    assert "nvmlDeviceGetNvLinkState" not in fake.called


def test_owners_are_named_and_the_largest_comes_first() -> None:
    mine = os.getpid()
    fake = FakeNvml(card_4090(processes=((999_999_999, 100 * MIB), (mine, 15000 * MIB))))

    owners = nvidia.probe(fake).gpus[0].owners

    assert [(owner.pid, owner.used_bytes) for owner in owners] == [(mine, 15000 * MIB), (999_999_999, 100 * MIB)]
    assert owners[0].name.startswith("py")
    assert owners[0].user
    assert (owners[1].name, owners[1].user) == ("unknown", None)


def test_wsl2_keeps_no_list_of_processes_and_filler_sizes_are_no_sizes() -> None:
    silent = card_4090(errors=dict.fromkeys(nvml.PROCESS_LISTS, NOT_SUPPORTED))
    found = nvidia.probe(FakeNvml(silent))
    assert found.gpus[0].owners == ()
    assert len(found.notes) == 1
    assert "does not list the processes" in found.notes[0]

    vague = nvidia.probe(FakeNvml(card_4090(processes=((7, None), (8, 2**64 - 1))))).gpus[0].owners
    assert [(owner.pid, owner.used_bytes) for owner in vague] == [(7, None), (8, None)]


def test_mig_lists_the_slices_and_never_the_card() -> None:
    slices = tuple(
        Card("NVIDIA A100-SXM4-40GB MIG 3g.20gb", f"MIG-{i}", 20096 * MIB, 20000 * MIB, capability=(8, 0))
        if i
        else None
        for i in range(3)
    )
    card = h100(0, mig=True, slices=slices, lanes=("switch",) * 12)

    gpus = nvidia.probe(FakeNvml(card, h100(1, lanes=("switch",) * 12))).gpus

    assert [(gpu.uuid, gpu.mig, gpu.index) for gpu in gpus[:2]] == [("MIG-1", True, 0), ("MIG-2", True, 0)]
    assert {gpu.parent_uuid for gpu in gpus[:2]} == {card.uuid}
    assert (gpus[0].total_bytes, gpus[0].arch, gpus[0].links) == (20096 * MIB, "sm_90", ())
    assert (gpus[2].mig, gpus[2].index, gpus[2].parent_uuid) == (False, 1, None)


def test_mig_mode_without_instances_is_a_finding() -> None:
    found = nvidia.probe(FakeNvml(h100(0, mig=True, slices=(None,) * 7)))
    assert found.gpus == ()
    assert "no instances" in found.findings[0].message
    assert "nvidia-smi mig" in found.findings[0].hint


@pytest.mark.parametrize(
    ("function", "attribute", "value"),
    [
        ("nvmlDeviceGetCudaComputeCapability", "arch", ""),
        ("nvmlDeviceGetPciInfo", "numa_node", None),
        ("nvmlDeviceGetName", "name", "NVIDIA GPU"),
        ("nvmlDeviceGetUUID", "uuid", "0"),
        ("nvmlDeviceGetMigMode", "mig", False),
    ],
)
def test_one_failing_call_costs_one_answer(function: str, attribute: str, value: object) -> None:
    gpu = nvidia.probe(FakeNvml(h100(0, errors={function: pynvml.NVML_ERROR_UNKNOWN}))).gpus[0]
    assert getattr(gpu, attribute) == value
    assert gpu.total_bytes == 81559 * MIB


@pytest.mark.parametrize(("total", "free"), [(0, 0), (100, 200), (100, -1)])
def test_a_card_with_impossible_memory_is_left_out(total: int, free: int) -> None:
    found = nvidia.probe(FakeNvml(h100(0, total=total, free=free), h100(1)))
    assert [gpu.index for gpu in found.gpus] == [1]
    assert f"{free} of {total} bytes" in found.notes[0]


def test_a_chip_with_unified_memory_has_the_ram() -> None:
    refusal = {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED}
    ram = Ram(total_bytes=128 << 30, available_bytes=100 << 30)

    shared = nvidia.probe(FakeNvml(h100(0, name="NVIDIA GB10", errors=refusal)), ram=ram)
    assert (shared.gpus[0].total_bytes, shared.gpus[0].free_bytes) == (128 << 30, 100 << 30)
    assert "shares main memory" in shared.notes[0]

    other = nvidia.probe(FakeNvml(h100(0, errors=refusal)), ram=ram)
    assert other.gpus == ()
    assert "its memory is unknown" in other.notes[0]


def test_a_lost_card_is_bad_and_a_forbidden_one_a_note() -> None:
    lost = h100(0, errors={"handle": pynvml.NVML_ERROR_GPU_IS_LOST})
    forbidden = h100(1, errors={"handle": pynvml.NVML_ERROR_NO_PERMISSION})

    found = nvidia.probe(FakeNvml(lost, forbidden, h100(2)))

    assert [gpu.index for gpu in found.gpus] == [2]
    assert (found.findings[0].message, found.findings[0].severity) == ("GPU 0 does not answer: GPU is lost.", "bad")
    assert found.notes == ("GPU 1 is not open to this user or container.",)


@pytest.mark.parametrize(
    ("code", "severity", "words"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "bad", "different versions"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "warn", "not loaded"),
        (pynvml.NVML_ERROR_UNKNOWN, "bad", "Unknown Error"),
    ],
)
def test_a_driver_that_does_not_start_is_a_finding(code: int, severity: str, words: str, tmp_path: Path) -> None:
    (finding,) = nvidia.probe(FakeNvml(init_error=code), root=tmp_path).findings
    assert finding.severity == severity
    assert words in finding.message
    assert finding.hint


def test_a_missing_library_matters_only_where_a_driver_is_loaded(tmp_path: Path) -> None:
    fake = FakeNvml(init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert nvidia.probe(fake, root=tmp_path) == Found()

    trace = tmp_path / nvidia.TRACES[0]
    trace.parent.mkdir(parents=True)
    trace.write_text("NVRM version: 580\n")
    assert "--gpus all" in nvidia.probe(fake, root=tmp_path).findings[0].hint


def test_nvml_is_closed_again() -> None:
    fake = FakeNvml(h100(0))
    nvidia.probe(fake)
    assert fake.open == 0


def test_without_a_driver_nothing_is_imported_and_nothing_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("importlib.import_module", forbidden)
    assert nvidia.probe(root=tmp_path) == Found()


def test_a_card_without_a_driver_is_a_finding_unless_a_virtual_machine_has_it(tmp_path: Path) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x040300\n")  # its sound function
    assert nvidia.probe(root=tmp_path) == Found()

    (device / "class").write_text("0x030000\n")
    assert "no NVIDIA driver is loaded" in nvidia.probe(root=tmp_path).findings[0].message

    (device / "driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    assert nvidia.probe(root=tmp_path) == Found()


def test_bus_ids_are_written_as_sysfs_writes_them() -> None:
    fake = FakeNvml()
    assert topology.bus_id(nvml.Nvml(fake), h100(0, bus="00000000:C1:00.0")) == "0000:c1:00.0"
    assert topology.bus_id(nvml.Nvml(fake), h100(0, bus="")) == ""
