from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llmserve.engine.base import Address, Environment, Launch, Serving
from llmserve.engine.sglang import SGLang
from llmserve.errors import UsageError
from llmserve.plan.plan import Flag, Plan, PlannedGpu, Prediction

PLAN = Plan(
    engine="sglang",
    engine_reason="a GPU",
    model="org/model",
    device="gpu",
    gpus=tuple(
        PlannedGpu(index=i, uuid=f"GPU-{i}", name="Test GPU", total_bytes=1, free_bytes=1, ledger=()) for i in (1, 2)
    ),
    tensor_parallel=2,
    context=4096,
    concurrency=4,
    kv_bytes_per_token=1,
    predicted=Prediction(kv_tokens=1, kv_bytes=1, weights_bytes_per_gpu=1, max_running_requests=4, band=(1, 1)),
    memory_bytes=1,
    ledger=(),
    flags=(
        Flag(name="--tp-size", value="2", reason="two cards"),
        Flag(name="--enable-metrics", value=None, reason="numbers"),
    ),
)
GPU = Environment(engine="sglang", version="0.5.23", python="/env/bin/python", managed=True, device="gpu")
KEY = "sk-0123456789"


def launch(plan: Plan = PLAN, *, environment: Environment = GPU, key: str | None = None, extra: str = "") -> Launch:
    serving = Serving(
        plan=plan,
        environment=environment,
        model_path="/weights",
        served_name="org/model-latest",
        address=Address(host="127.0.0.1", port=30000),
        api_key=key,
        extra=tuple(extra.split()),
    )
    return SGLang().launch(serving)


def test_the_command_line_is_the_plan_then_the_users_own_words() -> None:
    assert launch(extra="--enable-metrics --tp 1").argv == (
        *("/env/bin/python", "-P", "-m", "sglang.launch_server"),
        *("--model-path", "/weights", "--served-model-name", "org/model-latest"),
        *("--host", "127.0.0.1", "--port", "30000"),
        *("--tp-size", "2", "--enable-metrics"),
        *("--enable-metrics", "--tp", "1"),
    )


def test_the_key_stands_in_a_private_file_alone() -> None:
    found = launch(key=KEY)
    assert found.argv[4:6] == ("--config", "{llmserve-dir}/sglang.yaml")
    assert found.files == {"sglang.yaml": f'api-key: "{KEY}"\n'}
    assert found.secrets == (KEY,)
    assert KEY not in " ".join(found.argv) + str(found.env) + repr(found)


def test_the_management_routes_have_a_key_of_their_own() -> None:
    serving = Serving(
        plan=PLAN, environment=GPU, model_path="/weights", served_name="m", api_key=KEY, admin_key="sk-admin-1234",
        address=Address(host="127.0.0.1", port=30000),
    )  # fmt: skip
    found = SGLang().launch(serving)
    assert found.files == {"sglang.yaml": f'api-key: "{KEY}"\nadmin-api-key: "sk-admin-1234"\n'}
    assert found.secrets == (KEY, "sk-admin-1234")
    assert "sk-admin-1234" not in " ".join(found.argv) + str(found.env) + repr(found) + repr(serving)


@pytest.mark.parametrize("key", ["a: b # c", 'quote"back\\slash', "{x}", "yes", "1e3", "!tag", "*a"])
def test_no_key_is_misread_as_yaml(key: str) -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(launch(key=key).files["sglang.yaml"]) == {"api-key": key}
    assert json.loads(launch(key=key).files["sglang.yaml"].removeprefix("api-key: ")) == key


def test_without_a_key_there_is_no_file() -> None:
    found = launch()
    assert "--config" not in found.argv
    assert not found.files
    assert not found.secrets


def test_a_second_config_file_is_refused_before_the_start() -> None:
    with pytest.raises(UsageError, match="one --config"):
        launch(key=KEY, extra="--config mine.yaml")
    assert launch(extra="--config mine.yaml").argv[-1] == "mine.yaml"


@pytest.mark.parametrize("key", ["-starts-like-a-flag", "two\nlines"])
def test_a_key_that_sglang_cannot_take_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="cannot take this API key") as caught:
        launch(key=key)
    assert key not in caught.value.message


def test_the_engine_reads_local_files_and_reports_to_nobody() -> None:
    variables = launch().env
    assert variables["HF_HUB_OFFLINE"] == variables["TRANSFORMERS_OFFLINE"] == "1"
    assert variables["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert variables["PYTHONUNBUFFERED"] == "1"


def test_only_the_chosen_gpus_are_seen() -> None:
    assert launch().env["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2"
    assert "CUDA_VISIBLE_DEVICES" not in launch(replace(PLAN, device="cpu", gpus=())).env


def test_the_cpu_platform_is_named_where_llmserve_installed_it() -> None:
    cpu = replace(GPU, device="cpu")
    assert launch(environment=cpu).env["SGLANG_PLATFORM"] == "llmserve_cpu"
    assert launch(environment=cpu).env["SGLANG_USE_CPU_ENGINE"] == "0"
    assert "SGLANG_PLATFORM" not in launch(environment=replace(cpu, managed=False)).env
    assert "SGLANG_PLATFORM" not in launch().env


def test_a_managed_environment_ignores_the_users_python_path() -> None:
    assert launch().env["PYTHONPATH"] == ""
    assert "PYTHONPATH" not in launch(environment=replace(GPU, managed=False)).env
