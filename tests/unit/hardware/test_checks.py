from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve.hardware import Finding, Gpu, Link, Machine, MemoryOwner, load, names
from llmserve.hardware.checks import Check, examine, links_sentence, share

GIB = 1024**3


def check(machine: Machine, name: str) -> Check:
    return next(check for check in examine(machine) if check.name == name)


@pytest.mark.parametrize("name", names())
def test_every_profile_is_in_order(name: str) -> None:
    assert [check for check in examine(load(name)) if check.verdict != "ok"] == []


def test_doubt_always_comes_with_advice() -> None:
    poor = replace(
        load("2x4090"),
        ram_available_bytes=GIB // 4,
        shm_bytes=64 * 1024**2,
        cuda="12.4",
        cpu=replace(load("2x4090").cpu, features=()),
        gpus=tuple(replace(gpu, free_bytes=GIB, arch="sm_70") for gpu in load("2x4090").gpus),
        disks=tuple(replace(disk, free_bytes=0) for disk in load("2x4090").disks),
    )
    doubtful = [check for check in examine(poor) if check.verdict != "ok"]
    assert {check.name for check in doubtful} == {
        "memory", "cpu", "gpu 0", "gpu 1", "driver", "shm", "weights", "engines", "state",
    }  # fmt: skip
    assert all(check.hint for check in doubtful)


def test_sections_come_in_the_order_of_reading() -> None:
    machine = replace(load("h100x2"), findings=(Finding(message="It is hot.", hint="Open a window."),))
    sections = [check.section for check in examine(machine)]
    assert sections == sorted(sections, key=["System", "GPUs", "Disks"].index)


@pytest.mark.parametrize(
    ("arch", "features", "gpus", "verdict"),
    [
        ("x86_64", ("avx2",), False, "ok"),
        ("x86_64", (), False, "bad"),
        ("x86_64", (), True, "warn"),
        ("aarch64", ("neon",), False, "ok"),
        ("arm64", (), False, "ok"),
    ],
)
def test_cpu(arch: str, features: tuple[str, ...], gpus: bool, verdict: str) -> None:
    base = load("l4" if gpus else "laptop")
    assert check(replace(base, arch=arch, cpu=replace(base.cpu, features=features)), "cpu").verdict == verdict


def test_what_the_embedded_engine_leaves_unused_is_said_only_where_it_serves() -> None:
    assert "AVX-512" in check(load("cpu-server"), "cpu").details[0]
    assert check(load("h100"), "cpu").details == ()


@pytest.mark.parametrize(("left", "verdict"), [(GIB // 4, "bad"), (2 * GIB, "warn"), (8 * GIB, "ok")])
def test_memory(left: int, verdict: str) -> None:
    assert check(replace(load("laptop"), ram_available_bytes=left), "memory").verdict == verdict


def gpu_of(name: str, **changes: object) -> Check:
    machine = load(name)
    gpu: Gpu = replace(machine.gpus[0], **changes)  # type: ignore[arg-type]
    return check(replace(machine, gpus=(gpu,)), "gpu 0")


def test_a_full_gpu_names_who_fills_it() -> None:
    owners = (
        MemoryOwner(pid=4242, name="python3", used_bytes=20 * GIB, user="alice"),
        MemoryOwner(pid=77, name="Xorg"),
        *(MemoryOwner(pid=i, name="small", used_bytes=i) for i in range(5)),
    )
    found = gpu_of("workstation-4090", free_bytes=3 * GIB, owners=owners)
    assert found.verdict == "warn"
    assert found.message == "NVIDIA GeForce RTX 4090 (sm_89): 3.0 of 24.0 GiB free"
    assert found.details[0] == "python3 (pid 4242, alice) holds 20.00 GiB"
    assert found.details[1] == "Xorg (pid 77) holds some memory"
    assert found.details[-1] == "and 2 more processes"
    assert "CUDA_VISIBLE_DEVICES" in found.hint


def test_owners_of_a_gpu_with_room_are_shown_without_warning() -> None:
    found = gpu_of("workstation-4090", owners=(MemoryOwner(pid=1, name="Xorg", used_bytes=GIB),))
    assert (found.verdict, found.hint, len(found.details)) == ("ok", "", 1)


def test_a_full_amd_gpu_is_left_out_by_another_variable() -> None:
    assert "HIP_VISIBLE_DEVICES" in gpu_of("mi300x8", free_bytes=0, links=()).hint


@pytest.mark.parametrize(
    ("arch", "verdict"), [("sm_61", "warn"), ("sm_70", "warn"), ("sm_75", "ok"), ("sm_120", "ok"), ("", "ok")]
)
def test_old_gpus(arch: str, verdict: str) -> None:
    assert gpu_of("l4", arch=arch).verdict == verdict


@pytest.mark.parametrize(
    ("cuda", "verdict"), [("12.9", "warn"), ("13.0", "ok"), ("14.2", "ok"), (None, "ok"), ("odd", "ok")]
)
def test_driver(cuda: str | None, verdict: str) -> None:
    found = check(replace(load("h100"), cuda=cuda), "driver")
    assert found.verdict == verdict
    assert ("580" in found.hint) == (verdict == "warn")


def test_no_gpu_and_hidden_gpus() -> None:
    assert check(load("laptop"), "gpu").verdict == "ok"
    hidden = replace(load("laptop"), hidden_gpus=2)
    assert check(hidden, "gpu").verdict == "warn"
    assert check(hidden, "gpu").message.startswith("2 GPUs, hidden")
    assert check(replace(load("l4"), hidden_gpus=1), "hidden").message == "1 GPU more, hidden from this process"


def test_shared_memory_matters_only_between_gpus() -> None:
    small = 64 * 1024**2
    assert [c for c in examine(replace(load("l4"), shm_bytes=small)) if c.name == "shm"] == []
    found = check(replace(load("h100x2"), shm_bytes=small), "shm")
    assert (found.verdict, found.message.split(":")[0]) == ("warn", "64.0 MiB at /dev/shm")
    assert "--shm-size=16g" in found.hint
    assert "emptyDir: {medium: Memory" in found.hint
    assert [c for c in examine(replace(load("h100x2"), shm_bytes=None)) if c.name == "shm"] == []


def linked(*kinds: tuple[int, int, str, int]) -> tuple[Gpu, ...]:
    """Four GPUs with links (one, other, kind, lanes)."""
    gpus = load("h100x8").gpus[:4]
    links: dict[int, list[Link]] = {i: [] for i in range(4)}
    for one, other, kind, lanes in kinds:
        links[one].append(Link(peer=other, kind=kind, lanes=lanes))  # type: ignore[arg-type]
        links[other].append(Link(peer=one, kind=kind, lanes=lanes))  # type: ignore[arg-type]
    return tuple(replace(gpu, links=tuple(links[gpu.index])) for gpu in gpus)


def test_links() -> None:
    assert links_sentence(load("h100x8").gpus) == "NVLink between all GPUs, 18 lanes each"
    assert links_sentence(load("h100x8").gpus[:3]) == "NVLink between all GPUs, 18 lanes each"
    assert links_sentence(load("mi300x8").gpus) == "Infinity Fabric between all GPUs"
    assert links_sentence(load("2x4090").gpus) == "PCIe, no NVLink: tensor parallelism is held back"
    assert links_sentence(linked((0, 1, "pcie", 0), (0, 2, "system", 0))).startswith("PCIe across sockets")
    pairs = linked((0, 1, "nvlink", 4), (2, 3, "nvlink", 4), (0, 2, "system", 0))
    assert links_sentence(pairs) == "NVLink between 0-1, 2-3, 4 lanes each; PCIe between the others"
    slices = tuple(replace(gpu, mig=True) for gpu in load("h100x2").gpus)
    assert links_sentence(slices) == "MIG slices cannot work together: one server per slice"
    assert links_sentence((*load("h100x2").gpus, *slices)) == "NVLink between all GPUs, 18 lanes each"
    assert links_sentence(linked()) == "how the GPUs reach each other is not known"


@pytest.mark.parametrize(
    ("use", "free", "gpus", "verdict"),
    [
        ("weights", 30, True, "ok"),
        ("weights", 10, True, "warn"),
        ("weights", 0, True, "bad"),
        ("engines", 10, True, "warn"),
        ("engines", 10, False, "ok"),
        ("engines", 1, False, "warn"),
        ("state", 1, True, "ok"),
        ("state", 0, True, "warn"),
    ],
)
def test_disks(use: str, free: int, gpus: bool, verdict: str) -> None:
    machine = load("l4" if gpus else "laptop")
    machine = replace(machine, disks=tuple(replace(disk, free_bytes=free * GIB) for disk in machine.disks))
    assert check(machine, use).verdict == verdict


def test_findings_stand_with_what_they_are_about() -> None:
    findings = (
        Finding(message="GPU 3 does not answer.", hint="Reset it.", severity="bad"),
        Finding(message="This user cannot write there.", hint="Set HF_HOME.", about="weights"),
    )
    machine = replace(load("h100x2"), findings=findings, disks=())
    gpu, disk = check(machine, "gpu"), check(machine, "weights")
    assert (gpu.section, gpu.verdict, gpu.hint) == ("GPUs", "bad", "Reset it.")
    assert (disk.section, disk.verdict) == ("Disks", "warn")


def test_shares() -> None:
    assert share(3 * GIB, 24 * GIB) == "3.0 of 24.0 GiB"
    assert share(12 * 1024**2, 24 * GIB) == "12.0 MiB of 24.0 GiB"
