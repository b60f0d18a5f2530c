from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmserve.hardware import cpu

XEON = """processor\t: 0
model name\t: Intel(R)  Xeon(R) Platinum 8480+
flags\t\t: fpu avx avx2 avx512f avx512_bf16 amx_bf16 amx_tile amx_int8

processor\t: 1
model name\t: another
"""
GRAVITON = """processor\t: 0
Features\t: fp asimd evtstrm aes sve bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Path]:
    def build(cpuinfo: str, siblings: dict[int, str]) -> Path:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
        for number, text in siblings.items():
            folder = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(f"{text}\n")
        return tmp_path

    return build


PAIRS = {0: "0,4", 1: "1,5", 2: "2,6", 3: "3,7", 4: "0,4", 5: "1,5", 6: "2,6", 7: "3,7"}


def test_a_xeon_with_hyper_threading(machine: Callable[..., Path]) -> None:
    found = cpu.probe(machine(XEON, PAIRS), allowed=range(8))
    assert found.model == "Intel(R) Xeon(R) Platinum 8480+"
    assert (found.cores, found.threads) == (4, 8)
    assert found.features == ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")


@pytest.mark.parametrize(
    ("allowed", "quota", "cores", "threads"),
    [
        ((0, 4), None, 1, 2),
        ((0, 1), None, 2, 2),
        (range(8), 2.5, 2, 2),
        (range(8), 0.3, 1, 1),
        (range(8), 64.0, 4, 8),
        (range(8), 6.0, 4, 6),
        ((5,), 4.0, 1, 1),
    ],
)
def test_affinity_and_quota_both_hold(
    machine: Callable[..., Path], allowed: tuple[int, ...], quota: float | None, cores: int, threads: int
) -> None:
    found = cpu.probe(machine(XEON, PAIRS), allowed=allowed, quota=quota)
    assert (found.cores, found.threads) == (cores, threads)


def test_arm_has_neon_and_a_part_number(machine: Callable[..., Path]) -> None:
    found = cpu.probe(machine(GRAVITON, {0: "0"}), allowed=(0,))
    assert found.features == ("neon",)
    assert found.model == "Arm (implementer 0x41, part 0xd40)"


def test_without_proc_and_sys_every_thread_is_a_core(tmp_path: Path) -> None:
    found = cpu.probe(tmp_path, allowed=(0, 1, 2))
    assert (found.model, found.cores, found.threads, found.features) == ("unknown CPU", 3, 3, ())


def test_the_affinity_of_this_process_is_the_default(tmp_path: Path) -> None:
    assert cpu.probe(tmp_path).threads == len(os.sched_getaffinity(0))
