"""What ``llmserve plan`` costs: CPU time against ``python -c pass`` in one run, and planning alone in process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from llmserve import hardware, models
from llmserve.errors import DoesNotFitError
from llmserve.models.model import Model
from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal
from tests.bench.measure import cpu_seconds, interleaved
from tests.unit.models.checkpoints import LLAMA, safetensors

BOUND = 20.0
SECONDS = 0.05
SCRIPT = str(Path(sys.executable).with_name("llmserve"))
COMMIT = "a" * 40


def environment(folder: Path) -> dict[str, str]:
    """No state, no engines, no network, and compiled modules kept, as every installed program keeps them."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {"XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data")}
    return env | own | {"HF_HUB_CACHE": str(folder), "HF_HUB_OFFLINE": "1"}


def cached(folder: Path) -> str:
    """A hub model in the cache: 32 layers in two shards, headers true and data left out."""
    repo = folder / "models--org--cached"
    here = repo / "snapshots" / COMMIT
    here.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    (here / "config.json").write_text(json.dumps(LLAMA | {"hidden_size": 64, "intermediate_size": 128}))
    (here / "tokenizer.json").write_text("{}")
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    for part in (1, 2):
        layers = range(16 * (part - 1), 16 * part)
        tensors = {f"model.layers.{i}.self_attn.{name}.weight": ("BF16", (64, 64)) for i in layers for name in names}
        (here / f"model-0000{part}-of-00002.safetensors").write_bytes(safetensors(tensors))
    index = {
        "weight_map": {
            f"model.layers.{i}.self_attn.{name}.weight": f"model-0000{1 + i // 16}-of-00002.safetensors"
            for i in range(32)
            for name in names
        }
    }
    (here / "model.safetensors.index.json").write_text(json.dumps(index))
    return "org/cached"


def test_a_plan_costs_a_few_plain_pythons(tmp_path: Path) -> None:
    env, ref = environment(tmp_path), cached(tmp_path)
    commands = {
        "plan of a cached model": [SCRIPT, "plan", ref, "--machine", "h100x8"],
        "the same, on this machine": [SCRIPT, "plan", ref],
        "plan of a known name": [SCRIPT, "plan", "tiny", "--machine", "h100"],
    }
    for argv in commands.values():
        subprocess.run(argv, env=env, check=True, capture_output=True)
    cases = {"python -c pass": partial(cpu_seconds, [sys.executable, "-c", "pass"], env)}
    medians = interleaved(cases | {name: partial(cpu_seconds, argv, env) for name, argv in commands.items()}, rounds=9)
    base = medians.pop("python -c pass")
    print(f"\n{'python -c pass':<26} {base * 1000:6.1f} ms CPU")
    for name, cost in medians.items():
        print(f"{name:<26} {cost * 1000:6.1f} ms CPU, {cost / base:.1f} × (bound {BOUND:.0f} ×)")
    assert all(cost <= BOUND * base for cost in medians.values())


def test_a_plan_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = ["torch", "sglang", "huggingface_hub", "httpx2", "pydantic", "rich", "prompt_toolkit", "psutil", "jinja2"]
    args = ["plan", cached(tmp_path), "--machine", "h100"]
    script = f"import sys; from llmserve.app import run; run({args}); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment(tmp_path)
    )
    assert done.stdout.splitlines()[-1] == "[]"


def known(name: str) -> Model:
    return models.describe(models.resolve(name), "safetensors", planning=True)


@pytest.mark.parametrize(
    ("machine", "goal"),
    [
        ("h200x8", Goal()),
        ("h200x8", Goal(context=16_384, concurrency=32)),
        ("h200x8", Goal(objective="throughput")),
        ("h100x8", Goal()),  # does not fit: remedies are worked out as well
    ],
)
def test_planning_itself_takes_milliseconds(
    machine: str, goal: Goal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of 671 billion parameters on eight GPUs: every arrangement is worked out."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    model, there = known("deepseek-r1"), hardware.load(machine)
    took = []
    for _ in range(7):
        began = time.perf_counter()
        with contextlib.suppress(DoesNotFitError):
            choose(model, there, goal, engine="sglang", reason="there is a GPU")
        took.append(time.perf_counter() - began)
    print(f"\nchoose() for {model.name} on {machine}: {min(took) * 1000:.1f} ms (bound {SECONDS * 1000:.0f} ms)")
    assert min(took) <= SECONDS
