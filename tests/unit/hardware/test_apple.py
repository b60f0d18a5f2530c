from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from llmserve.hardware import apple
from llmserve.hardware.memory import Ram
from llmserve.hardware.probe import Found

GIB = 1024**3
M3_MAX = {
    "machdep.cpu.brand_string": "Apple M3 Max",
    "hw.physicalcpu": "16",
    "hw.logicalcpu": "16",
    "hw.optional.arm64": "1",
}


@pytest.mark.parametrize(
    ("ram", "share"), [(8, 8 * 2 / 3), (16, 16 * 2 / 3), (32, 32 * 2 / 3), (36, 27), (64, 48), (192, 144)]
)
def test_what_metal_recommends(ram: int, share: float) -> None:
    assert apple.working_set(ram * GIB) == int(share * GIB)


def test_a_limit_that_the_user_raised_counts_up_to_the_ram() -> None:
    assert apple.working_set(64 * GIB, 57344) == 56 * GIB
    assert apple.working_set(64 * GIB, 999999) == 64 * GIB


def test_the_gpu_of_an_m3() -> None:
    found = apple.probe(M3_MAX, Ram(total_bytes=64 * GIB, available_bytes=40 * GIB))
    gpu = found.gpus[0]
    assert (gpu.name, gpu.arch, gpu.vendor) == ("Apple M3 Max GPU", "apple-m3", "apple")
    assert (gpu.total_bytes, gpu.free_bytes) == (48 * GIB, 40 * GIB)
    assert "48.0 of 64.0 GiB" in found.notes[0]


def test_intel_macs_have_no_gpu_for_us() -> None:
    intel = {"machdep.cpu.brand_string": "Intel(R) Core(TM) i9-9880H", "hw.physicalcpu": "8", "hw.logicalcpu": "16"}
    assert apple.probe(intel, Ram(total_bytes=GIB, available_bytes=GIB)) == Found()
    found = apple.cpu(intel | {"machdep.cpu.leaf7_features": "BMI1 AVX2 ERMS"})
    assert (found.cores, found.threads, found.features) == (8, 16, ("avx2",))


def test_the_cpu_of_an_m3_and_of_a_silent_kernel() -> None:
    assert apple.cpu(M3_MAX).features == ("neon",)
    assert apple.cpu(M3_MAX).cores == 16
    assert apple.cpu({}).cores == 1


def test_sysctl_is_asked_once_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: list[str], **_options: object) -> SimpleNamespace:
        assert argv == ["/usr/sbin/sysctl", "hw.physicalcpu", "iogpu.wired_limit_mb"]
        return SimpleNamespace(stdout="hw.physicalcpu: 16\n", stderr="sysctl: unknown oid 'iogpu.wired_limit_mb'\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert apple.sysctl(["hw.physicalcpu", "iogpu.wired_limit_mb"]) == {"hw.physicalcpu": "16"}
