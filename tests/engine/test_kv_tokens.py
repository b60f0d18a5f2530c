"""What the planner predicts and what real engines then log, for tiny models of every family that they load on a CPU.

SGLang 0.5.23 refuses gpt-oss and Gemma 4 there (their attention is compiled code only). Of models with linear attention
it allocates cache and states, and cannot compute: they are started without the request that SGLang warms up with.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llmserve.engine import engines, leftovers
from llmserve.engine.base import Facts
from llmserve.engine.ports import choose_port
from tests.engine.conftest import Cli, require
from tests.fakes import tiny_gguf, tiny_models

MIB, GIB = 1024**2, 1024**3


def up(cli: Cli, engine: str, model: Path, *extra: str, context: int = 2048, requests: int = 4) -> Any:
    """``data`` of a start; ``extra`` are flags of the engine."""
    require(engine)
    shape = ("--context", str(context), "--concurrency", str(requests))
    done = cli.run("up", str(model), "--engine", engine, "-d", "--json", "--port", "0", *shape, "--", *extra)
    body = json.loads(done.stdout)
    assert body["status"] == "ok", body["errors"]
    return body["data"]


def down(cli: Cli) -> None:
    assert cli.json("down", "--all")["status"] == "ok"
    assert cli.processes() == {}


GGUF = ["qwen2", "qwen3moe", "deepseek2", "gemma3", "gemma4", "gpt-oss", "mamba2", "granitehybrid", "lfm2", "qwen35"]


@pytest.mark.engine
@pytest.mark.parametrize("family", GGUF)
def test_llamacpp_allocates_what_was_predicted(family: str, cli: Cli, tmp_path: Path) -> None:
    started = up(cli, "llamacpp", tiny_gguf.write(family, tmp_path / "model"))
    predicted, facts = started["plan"]["predicted"], started["facts"]
    assert predicted["kv_tokens"] == facts["kv_tokens"] == 4 * 2048
    # the log rounds each kind of cache to 0.01 MiB; there are two at most
    assert predicted["kv_bytes"] + predicted["state_bytes"] == pytest.approx(facts["kv_bytes"], abs=0.011 * MIB)
    down(cli)


@pytest.mark.engine
def test_llamacpp_pads_the_context_as_predicted(cli: Cli, tmp_path: Path) -> None:
    started = up(cli, "llamacpp", tiny_gguf.write("gemma3", tmp_path / "model"), context=1000, requests=3)
    predicted, facts = started["plan"]["predicted"], started["facts"]
    assert predicted["kv_tokens"] == facts["kv_tokens"] == 3 * 1024
    assert predicted["kv_bytes"] == pytest.approx(facts["kv_bytes"], abs=0.011 * MIB)
    down(cli)


@pytest.mark.engine
@pytest.mark.sglang
@pytest.mark.parametrize(
    ("family", "window_tokens", "buffers"),
    [
        pytest.param("qwen3", None, 2, id="tied embeddings"),
        pytest.param("deepseek_v2", None, 1, id="latent attention"),
        pytest.param("mellum", 838_860, 4, id="windows and experts"),
    ],
)
def test_sglang_allocates_what_was_predicted_and_answers(
    family: str, window_tokens: int | None, buffers: int, cli: Cli, tmp_path: Path
) -> None:
    """With so many requests that the sizes, which the log rounds to 0.01 GiB, tell right from wrong."""
    started = up(cli, "sglang", tiny_models.write(family, tmp_path / "model"), requests=512)
    predicted, facts = started["plan"]["predicted"], started["facts"]
    assert predicted["kv_tokens"] == facts["kv_tokens"] == 512 * 2048
    assert predicted["window_tokens"] == facts["window_tokens"] == window_tokens
    assert predicted["max_running_requests"] == facts["concurrency"] == 512
    assert predicted["kv_bytes"] == pytest.approx(facts["kv_bytes"], abs=0.0051 * GIB * buffers)
    said = cli.run("chat", "-m", "hello", "--max-tokens", "4", env={"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""})
    assert said.returncode == 0, said.stderr
    down(cli)


@pytest.mark.engine
@pytest.mark.sglang
def test_sglang_allocates_the_states_that_were_predicted(cli: Cli, tmp_path: Path) -> None:
    """``up`` refuses what SGLang cannot compute on a CPU, so the flags of the plan go to the engine itself."""
    model = tiny_models.write("qwen3_next", tmp_path / "model")
    shape = ("--context", "2048", "--concurrency", "4")
    plan = cli.json("plan", str(model), "--engine", "sglang", *shape)["data"]
    predicted, facts = plan["predicted"], facts_of(cli, model, plan["flags"])
    assert predicted["kv_tokens"] == facts.kv_tokens == 4 * 2048
    assert predicted["state_slots"] == facts.state_slots == 3 * 4
    assert predicted["max_running_requests"] == facts.concurrency == 4


@pytest.mark.engine
@pytest.mark.sglang
def test_sglang_has_no_pool_for_the_windows_of_gemma_3(cli: Cli, tmp_path: Path) -> None:
    """Its layers with a window are charged as if they saw everything. (It answers too, but slowly.)"""
    model = tiny_models.write("gemma3", tmp_path / "model")
    plan = cli.json("plan", str(model), "--engine", "sglang", "--context", "2048", "--concurrency", "512")["data"]
    predicted, facts = plan["predicted"], facts_of(cli, model, plan["flags"])
    assert predicted["kv_tokens"] == facts.kv_tokens == 512 * 2048
    assert predicted["window_tokens"] is facts.window_tokens is None
    assert predicted["kv_bytes"] == pytest.approx(facts.kv_bytes, abs=0.0051 * GIB * 2)


def facts_of(cli: Cli, model: Path, flags: list[dict[str, str | None]]) -> Facts:
    """What SGLang logs until its pools stand."""
    require("sglang")
    sglang = engines()["sglang"]
    environment = sglang.environment()
    assert environment
    words = [word for flag in flags for word in (flag["name"], flag["value"]) if word is not None]
    command = [environment.python, "-P", "-m", "sglang.launch_server", "--model-path", str(model), *words]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONPATH": ""}
    with subprocess.Popen(
        [*command, "--skip-server-warmup", "--port", str(choose_port("127.0.0.1", 0))], text=True, cwd=cli.home,
        env=cli.environment() | offline, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout
        log = ""
        while "max_total_num_tokens=" not in log and (line := process.stdout.readline()):
            log += line
        process.terminate()
        log += process.communicate(timeout=60)[0]
    leftovers.sweep(str(cli.temporary), sglang.shared_memory, since=cli.began)
    return sglang.facts({}, log)
