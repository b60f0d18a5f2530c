"""From a ready server to what is remembered of its start."""

from __future__ import annotations

from dataclasses import replace

from llmserve.engine.base import Facts
from llmserve.engine.observe import observe
from llmserve.engine.server import Server
from llmserve.plan.calibration import EXTRA
from llmserve.plan.observation import Measured
from llmserve.plan.plan import Flag
from tests.fakes.plans import on_eight, on_the_cpu, qwen3_8b_plan

FACTS = Facts(
    engine_version="0.5.23", kv_tokens=1, context=2, concurrency=3, weight_bytes=4, free_bytes=5, kv_bytes=6,
    before_load_bytes=7, graph_bytes=8, window_tokens=9, state_slots=10, seconds={"load": 11.5},
)  # fmt: skip
PLAN = qwen3_8b_plan(architecture="Qwen3ForCausalLM")
SERVER = Server(
    name="s", directory="/s", url="http://127.0.0.1:1/v1", host="127.0.0.1", port=1, model="served-name",
    engine="sglang", engine_version="0.5.23", plan=PLAN, state="ready", started_at=1000.0, ready_at=1042.5, facts=FACTS,
)  # fmt: skip


def test_every_figure_of_the_engine_stands_beside_its_prediction() -> None:
    found = observe(SERVER)
    assert found
    assert found.measured == Measured(
        kv_tokens=1, context=2, max_running_requests=3, weight_bytes=4, free_bytes=5, kv_bytes=6, before_load_bytes=7,
        graph_bytes=8, window_tokens=9, state_slots=10, seconds={"load": 11.5, "ready": 42.5},
    )  # fmt: skip
    assert None not in vars(found.measured).values()
    assert found.predicted == PLAN.predicted
    assert (found.at, found.free_bytes, found.gpus) == (1042.5, PLAN.memory_bytes, 1)


def test_the_key_is_what_the_planner_knows_before_a_start() -> None:
    found = observe(SERVER)
    assert found
    assert (found.machine, found.tensor_parallel) == ("NVIDIA H100 80GB HBM3 x1", 1)
    assert (found.engine, found.engine_version) == ("sglang", "0.5.23")
    assert (found.family, found.model) == ("Qwen3ForCausalLM", "qwen3-8b")


def test_machines_of_many_gpus_and_of_none() -> None:
    several, none = observe(replace(SERVER, plan=on_eight())), observe(replace(SERVER, plan=on_the_cpu()))
    named = observe(replace(SERVER, plan=on_the_cpu(machine="cpu x16")))
    assert several
    assert none
    assert named
    assert (several.machine, several.tensor_parallel, several.gpus) == ("NVIDIA H100 80GB HBM3 x8", 8, 8)
    assert (none.machine, named.machine, none.gpus) == ("cpu", "cpu x16", 0)


def test_flags_of_the_plan_and_names_of_the_users_own() -> None:
    found = observe(replace(SERVER, extra_flags=("--tp", "--log-level")))
    assert found
    assert found.flags == {
        "--mem-fraction-static": "0.906", "--max-running-requests": "256", "--enable-metrics": "",
        EXTRA: "--tp --log-level",
    }  # fmt: skip


def test_no_secret_is_remembered() -> None:
    secrets = tuple(
        Flag(name=name, value="hunter2", reason="r") for name in ("--api-key", "--ssl-keyfile-password", "--hf-token")
    )
    assert "hunter2" not in repr(observe(replace(SERVER, plan=replace(PLAN, flags=(*PLAN.flags, *secrets)))))


def test_a_server_that_told_nothing_is_no_observation() -> None:
    assert observe(replace(SERVER, facts=None)) is None
    assert observe(replace(SERVER, ready_at=None)) is None
