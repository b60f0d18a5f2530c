"""What of a recipe fits, at a glance: full, quantised where the GPU can, or GGUF in host memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve import hardware
from llmserve.hardware.machine import Machine
from llmserve.models.recipes import Recipe, catalogue, named
from llmserve.plan.rough import fit
from tests.fakes.machines import gpus, laptop


def recipe(name: str) -> Recipe:
    found = named(name)
    assert found is not None
    return found


def found(name: str, machine: Machine) -> tuple[str, int] | None:
    fitting = fit(recipe(name), machine)
    return (fitting.form, fitting.gpus) if fitting else None


def of_arch(machine: Machine, arch: str) -> Machine:
    return replace(machine, gpus=tuple(replace(gpu, arch=arch) for gpu in machine.gpus))


@pytest.mark.parametrize(
    ("name", "machine", "expected"),
    [
        ("qwen3-8b", gpus(1, total_gib=24), ("full", 1)),
        ("qwen3-8b", gpus(1, total_gib=16), ("fp8", 1)),
        ("qwen3-8b", gpus(1, total_gib=10), ("awq-int4", 1)),
        ("qwen3-8b", gpus(1, total_gib=6), None),
        ("llama-3.3-70b", gpus(2, total_gib=80), ("full", 2)),
        ("llama-3.3-70b", gpus(3, total_gib=60), ("fp8", 2)),
        ("deepseek-r1", gpus(8, total_gib=80), None),
        ("deepseek-r1", gpus(8, total_gib=141), ("full", 8)),
        ("qwen3-8b", laptop(16, 12), ("gguf", 0)),
        ("qwen3-8b", laptop(8, 5), None),
        ("e5-mistral-7b", laptop(64, 60), None),
        ("bge-m3", gpus(1, total_gib=24), None),
    ],
)
def test_what_fits(name: str, machine: Machine, expected: tuple[str, int] | None) -> None:
    assert found(name, machine) == expected


def test_quantised_ones_need_a_gpu_that_has_kernels_for_them() -> None:
    small = gpus(1, total_gib=16)
    assert found("qwen3-8b", of_arch(small, "sm_75")) == ("awq-int4", 1)
    assert found("qwen3-8b", of_arch(small, "sm_70")) == ("gguf", 0)  # too old for SGLang at all
    node = gpus(8, total_gib=80)
    assert found("deepseek-r1", of_arch(node, "sm_100")) == ("nvfp4", 8)


def test_only_equal_gpus_share_a_model() -> None:
    mixed = gpus(2, total_gib=80)
    mixed = replace(mixed, gpus=(mixed.gpus[0], replace(mixed.gpus[1], name="Other", total_bytes=1)))
    assert found("llama-3.3-70b", gpus(2, total_gib=80)) == ("full", 2)
    assert found("llama-3.3-70b", mixed) == ("fp8", 1)


@pytest.mark.parametrize("profile", hardware.names())
def test_the_stated_minimum_agrees(profile: str) -> None:
    """What fits in full on one GPU is not said to need far more than it has."""
    machine = hardware.load(profile)
    largest = max((gpu.total_bytes for gpu in machine.gpus), default=0)
    for known in catalogue():
        fitting = fit(known, machine)
        if fitting and fitting.form == "full" and fitting.gpus == 1:
            assert known.minimum_gb * 1e9 <= 1.25 * largest, known.name


def test_the_repository_is_named() -> None:
    fitting = fit(recipe("qwen3-8b"), gpus(1, total_gib=16))
    assert fitting is not None
    assert (fitting.repo, fitting.size_bytes) == ("Qwen/Qwen3-8B-FP8", 9_450_000_000)
