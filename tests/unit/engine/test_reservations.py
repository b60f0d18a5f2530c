"""Memory of GPUs is not given out twice while a server loads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmserve.engine.reservations import check, reserved, without
from llmserve.engine.server import Server, State
from llmserve.errors import LlmserveError
from llmserve.hardware.profiles import load
from tests.fakes.plans import FREE, on_eight, on_the_cpu, qwen3_8b_plan

UNUSED = next(share.size_bytes for share in qwen3_8b_plan().ledger if share.name == "unused")


def server(state: State, **changes: object) -> Server:
    one = Server(
        name="one", directory="/nowhere", url="", host="127.0.0.1", port=1, model="m", engine="sglang",
        engine_version="1", plan=qwen3_8b_plan(), state=state,
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


def test_what_a_loading_server_will_take_is_not_free() -> None:
    held = reserved([server("starting"), server("restarting", plan=on_eight())])
    assert held["GPU-0"] == 2 * (FREE - UNUSED)
    assert held["GPU-7"] == FREE - UNUSED


def test_servers_that_are_ready_or_have_no_gpu_reserve_nothing() -> None:
    assert reserved([server("ready"), server("failed"), server("starting", plan=on_the_cpu())]) == {}


def test_the_machine_is_planned_with_what_is_left() -> None:
    machine = load("h100x8")
    first, *others = machine.gpus
    left = without(machine, {first.uuid: 10 << 30})
    assert left.gpus[0].free_bytes == first.free_bytes - (10 << 30)
    assert left.gpus[1:] == tuple(others)
    assert without(machine, {first.uuid: 1 << 60}).gpus[0].free_bytes == 0


def test_a_reservation_made_meanwhile_is_noticed() -> None:
    plan = qwen3_8b_plan()
    check(plan, known={"GPU-0": 5}, now={"GPU-0": 5, "GPU-1": 9})
    with pytest.raises(LlmserveError, match="GPU 0") as caught:
        check(plan, known={}, now={"GPU-0": 5})
    assert caught.value.code == "gpus_taken"
