from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmserve.hardware import amd, apple, cgroup, cpu, detect, detection, disks, load, memory, nvidia, system
from llmserve.hardware.machine import Cpu, Gpu
from llmserve.hardware.probe import Found
from llmserve.hardware.profiles import problems
from tests.unit.hardware.fake_nvml import MIB, FakeNvml, h100

VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    fake = FakeNvml(*(h100(i, lanes=("switch",) * 18) for i in range(4)))
    probe = nvidia.probe
    monkeypatch.setattr(nvidia, "probe", lambda **options: probe(fake, **options))
    monkeypatch.setattr(amd, "probe", Found)
    return iter((fake,))


def test_this_machine_is_one_that_can_exist(tmp_path: Path) -> None:
    machine = detect(disks={"weights": tmp_path})
    assert list(problems(machine)) == []
    assert [disk.use for disk in machine.disks] == ["weights"]
    assert [note for note in machine.notes if "could not be examined" in note] == []


def test_default_disks() -> None:
    assert {disk.use for disk in detect().disks} == {"weights", "engines", "state"}


@pytest.mark.usefixtures("cards")
def test_variables_choose_and_order_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    machine = detect(disks={})
    assert [gpu.index for gpu in machine.gpus] == [3, 1]
    assert machine.hidden_gpus == 2
    assert machine.name == "2 x NVIDIA H100 80GB HBM3"
    assert (machine.driver, machine.cuda) == ("580.95.05", "13.0")


@pytest.mark.usefixtures("cards")
def test_hiding_everything_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine = detect(disks={})
    assert (machine.gpus, machine.hidden_gpus) == ((), 4)
    assert any("hides every GPU" in note for note in machine.notes)


def test_whatever_breaks_becomes_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("the sky\nfell")

    for module, name in (
        (cgroup, "limits"),
        (memory, "ram"),
        (cpu, "probe"),
        (nvidia, "probe"),
        (amd, "probe"),
        (disks, "measure"),
        (system, "os_name"),
        (system, "container"),
    ):
        monkeypatch.setattr(module, name, broken)

    machine = detect()

    assert len(machine.notes) == 8
    assert all(note.endswith("could not be examined: the sky fell.") for note in machine.notes)
    assert (machine.cpu.cores, machine.gpus, machine.os) == (1, (), "unknown")


def test_a_quota_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "limits", lambda: cgroup.Limits(cpus=1.5))
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    machine = detect(disks={})
    assert (machine.cpu.cores, machine.cpu.threads) == (1, 1)
    assert "A quota limits this process to the time of 1.5 of 8 CPUs." in machine.notes


def test_a_quota_that_grants_every_cpu_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "limits", lambda: cgroup.Limits(cpus=8.0))
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert [note for note in detect(disks={}).notes if "quota" in note] == []


def test_a_mac_is_asked_by_sysctl(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"machdep.cpu.brand_string": "Apple M4", "hw.physicalcpu": "10", "hw.logicalcpu": "10"}
    monkeypatch.setattr(apple, "present", lambda: True)
    monkeypatch.setattr(apple, "sysctl", lambda _names: values)
    machine = detect(disks={})
    assert (machine.cpu.cores, machine.gpus[0].arch, machine.name) == (10, "apple-m4", "Apple M4 GPU")


def amd_gpu(index: int, size: int) -> Gpu:
    gpu = load("mi300x8").gpus[index]
    return replace(gpu, total_bytes=size, free_bytes=size, links=())


def test_integrated_graphics_count_in_the_numbering_but_not_as_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a desktop the GPU inside the CPU may well be device 0."""
    found = Found(gpus=(amd_gpu(0, 512 * MIB), amd_gpu(1, 24564 * MIB)))
    monkeypatch.setattr(nvidia, "probe", lambda **_options: Found())
    monkeypatch.setattr(amd, "probe", lambda: found)

    assert [gpu.index for gpu in detect(disks={}).gpus] == [1]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    machine = detect(disks={})
    assert ([gpu.index for gpu in machine.gpus], machine.hidden_gpus) == ([1], 1)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    assert detect(disks={}).gpus == ()


def test_names_of_machines() -> None:
    processor = Cpu(model="AMD EPYC", cores=1, threads=2)
    assert detection.describe(processor, ()) == "AMD EPYC, 1 core"
    assert detection.describe(processor, load("l4").gpus) == "NVIDIA L4"
    mixed = load("l4").gpus + load("2x4090").gpus
    assert detection.describe(processor, mixed) == "NVIDIA L4, 2 x NVIDIA GeForce RTX 4090"


def test_detection_is_quick_once_imported(tmp_path: Path) -> None:
    detect()

    def is_quick() -> bool:
        start = time.perf_counter()
        detect(disks={"weights": tmp_path})
        return time.perf_counter() - start < 0.1

    assert any(is_quick() for _ in range(200))  # a busy machine is quick now and then
