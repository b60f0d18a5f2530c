"""Time from the command to the first answer: ``llmserve up`` against the engine's own launch, all in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from llmserve.engine.ports import choose_port
from tests.bench.measure import interleaved, seconds_to_first_answer

DEFAULTS = "SGLang's defaults"
SHAPE = ["--context", "2048", "--concurrency", "8"]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(folder)}


def engine_command(engine: str, port: int, env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """What ``up --dry-run`` says it would execute."""
    argv = [sys.executable, "-m", "llmserve", "up", "tiny", "--engine", engine, "--port", str(port), *SHAPE]
    done = subprocess.run([*argv, "--dry-run", "--json"], env=env, capture_output=True, text=True, check=True)
    data = json.loads(done.stdout)["data"]
    return data["command"], {**env, **data["environment"]}


def cases(engine: str, folder: Path, timeout: float) -> dict[str, partial[float]]:
    env, port = environment(folder), choose_port("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}/v1"
    command, engine_env = engine_command(engine, port, env)
    up = [sys.executable, "-m", "llmserve", "up", "tiny", "--engine", engine, "--port", str(port), *SHAPE]
    return {
        "engine alone": partial(seconds_to_first_answer, command, url, "tiny", engine_env, timeout),
        "llmserve up": partial(seconds_to_first_answer, up, url, "tiny", env, timeout),
    }


def show(title: str, medians: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, seconds in medians.items():
        print(f"  {name:<24} {seconds:7.2f} s to the first answer")


def test_the_embedded_engine_starts_at_most_0_6_s_later(tmp_path: Path) -> None:
    medians = interleaved(cases("llamacpp", tmp_path, 60), rounds=7)
    show("llamacpp, tiny model", medians)
    assert medians["llmserve up"] - medians["engine alone"] <= 0.6


@pytest.mark.sglang
def test_sglang_starts_within_5_percent_of_its_own_launch_and_far_before_its_defaults(tmp_path: Path) -> None:
    both = cases("sglang", tmp_path, 300)
    medians = interleaved(both, rounds=5)
    medians[DEFAULTS] = _defaults(tmp_path)
    show("SGLang on the CPU, tiny model", medians)
    print(f"  ratios: {medians['llmserve up'] / medians['engine alone']:.3f} to its own launch (bound 1.05), "
          f"{medians['llmserve up'] / medians[DEFAULTS]:.3f} to its defaults (bound 0.6)")  # fmt: skip
    assert medians["llmserve up"] <= 1.05 * medians["engine alone"]
    assert medians["llmserve up"] <= 0.6 * medians[DEFAULTS]


def _defaults(folder: Path) -> float:
    """SGLang's own command with no flag but the model, the device and the address."""
    port = choose_port("127.0.0.1", 0)
    command, env = engine_command("sglang", port, environment(folder))
    model = command[command.index("--model-path") + 1]
    plain = [*command[: command.index("--model-path")], "--model-path", model, "--device", "cpu", "--port", str(port)]
    return seconds_to_first_answer(plain, f"http://127.0.0.1:{port}/v1", model, env, 900)
