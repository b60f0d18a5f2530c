from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve.hardware.machine import Machine
from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal, Plan
from tests.fakes.machines import GIB, gpus, llama_8b


def amd(context: int = 131_072, version: str = "0.5.23", **fixed: str) -> Plan:
    here = gpus(1, total_gib=288, free_gib=287)
    machine: Machine = replace(here, gpus=tuple(replace(gpu, vendor="amd", arch="gfx950") for gpu in here.gpus))
    goal = Goal(fixed=tuple(fixed.items()))
    model = llama_8b(context_length=context)
    return choose(model, machine, goal, engine="sglang", reason="test", engine_version=version)


def asked(plan: Plan) -> float:
    return next(float(flag.value or 0) for flag in plan.flags if flag.name == "--mem-fraction-static")


def in_force(plan: Plan) -> float:
    """By what the plan takes for weights and pool of what is free before the load."""
    taken = plan.predicted.weights_bytes_per_gpu + plan.predicted.kv_bytes
    return taken / (plan.predicted.before_load_bytes or 1)


def test_what_sglang_takes_off_with_amds_kernels_is_asked_for_on_top() -> None:
    long, short = amd(), amd(context=8192)
    assert asked(long) == 0.98
    assert in_force(long) == pytest.approx(0.98 * 0.85, abs=0.001)
    assert in_force(short) == pytest.approx(asked(short), abs=0.001)
    assert "0.85" in next(flag.reason for flag in long.flags if flag.name == "--mem-fraction-static")


def test_where_the_release_is_not_known_nothing_is_asked_for_on_top() -> None:
    unsure = amd(version="")
    assert asked(unsure) == asked(amd(version="0.5.8"))
    assert in_force(unsure) == pytest.approx(asked(unsure) * 0.85, abs=0.001)
    assert "static fraction" in {doubt.name for doubt in unsure.doubts}
    assert unsure.predicted.band[1] > amd(version="0.5.8").predicted.kv_tokens


def test_a_fixed_fraction_is_lowered_too() -> None:
    assert in_force(amd(mem_fraction_static="0.8")) == pytest.approx(0.8 * 0.85, abs=0.001)
    assert in_force(amd(mem_fraction_static="0.8", attention_backend="triton")) == pytest.approx(0.8, abs=0.001)


def test_releases_that_do_not_take_it_off_get_what_is_in_force() -> None:
    old = amd(version="0.5.8")
    assert in_force(old) == pytest.approx(asked(old), abs=0.001)
    assert old.predicted.kv_tokens * 131_072 == pytest.approx(old.predicted.kv_bytes)
    assert old.predicted.kv_bytes > 200 * GIB
