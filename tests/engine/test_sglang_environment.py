"""The environment that ``llmserve engine install sglang`` built: does it hold what a launch relies on?"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llmserve.engine.base import Address, Environment, Serving
from llmserve.engine.sglang import SGLang
from llmserve.hardware.machine import Machine
from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal
from tests.engine.conftest import require
from tests.fakes.machines import gpus, laptop, llama_8b

pytestmark = [pytest.mark.engine, pytest.mark.sglang]


@pytest.fixture(scope="module")
def environment() -> Environment:
    require("sglang")
    found = SGLang().environment()
    assert found
    if not found.managed:
        pytest.skip("SGLang is the current interpreter's own: llmserve engine install sglang")
    return found


def run(environment: Environment, code: str, *args: str) -> Any:
    """What ``code`` prints, as JSON, in the environment's own Python."""
    command = [environment.python, "-I", "-c", code, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def cpu_only(environment: Environment) -> None:
    if environment.device != "cpu":
        pytest.skip("this environment is for GPUs")


def test_it_is_the_version_that_its_manifest_says(environment: Environment) -> None:
    code = "import importlib.metadata as m, json; print(json.dumps(m.version('sglang')))"
    assert run(environment, code) == environment.version


def test_the_cpu_platform_is_active_without_being_named(environment: Environment) -> None:
    cpu_only(environment)
    code = (
        "import json; from sglang.srt.platforms import current_platform as p; "
        "print(json.dumps([type(p).__module__, p.device_type, p.get_default_attention_backend(), "
        "p.get_dispatch_key_name(), p.is_out_of_tree()]))"
    )
    expected = ["llmserve_sglang_cpu.platform", "cpu", "torch_native", "native", True]
    assert run(environment, code) == expected


def test_torchvision_imports_beside_cpu_torch(environment: Environment) -> None:
    cpu_only(environment)
    code = (
        "import json, torch, torchvision; from torchvision.transforms.v2 import functional; "
        "print(json.dumps([torch.version.cuda, hasattr(torch.ops.torchvision, 'nms')]))"
    )
    assert run(environment, code) == [None, True]


def test_a_start_of_its_python_does_not_import_torch(environment: Environment) -> None:
    heavy = run(
        environment, "import json, sys; print(json.dumps([m for m in ('torch', 'sglang') if m in sys.modules]))"
    )
    assert heavy == []


CHANGED = """
import base64, hashlib, importlib.metadata, json, sys
changed, seen = [], 0
for name in sys.argv[1:]:
    for file in importlib.metadata.distribution(name).files:
        if file.hash is None or ".." in file.parts:  # scripts in bin/ name the interpreter's path
            continue
        digest = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()
        seen += 1
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            changed.append(str(file))
print(json.dumps([seen, changed]))
"""


def test_installed_files_are_as_their_authors_published_them(environment: Environment) -> None:
    packages = [
        "sglang",
        "transformers",
        *(["torchvision", "llmserve-sglang-cpu"] if environment.device == "cpu" else []),
    ]
    seen, changed = run(environment, CHANGED, *packages)
    assert changed == []
    assert seen > 1000


PARSE = """
import argparse, json, sys
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser(allow_abbrev=False)
ServerArgs.add_cli_args(parser)
for words in json.loads(sys.argv[1]):
    parsed, unknown = parser.parse_known_args(words)
    assert not unknown, (unknown, words)
    assert (parsed.model_path, parsed.served_model_name, parsed.port) == ("/weights", "org/model", 31234)
print(json.dumps("ok"))
"""

MACHINES = (
    laptop(ram_gib=64, free_gib=48),
    gpus(1, total_gib=80),
    gpus(1, total_gib=24),
    gpus(4, total_gib=12),
)


def words(environment: Environment, machine: Machine, goal: Goal) -> tuple[str, ...]:
    """What follows the module's name on the command line of a launch."""
    model = llama_8b(tool_call_parser="qwen25", reasoning_parser="qwen3")
    serving = Serving(
        plan=choose(model, machine, goal, engine="sglang", reason=""),
        environment=environment,
        model_path="/weights",
        served_name="org/model",
        address=Address(host="127.0.0.1", port=31234),
        api_key="sk-0123456789",
    )
    launch = SGLang().launch(serving)
    return launch.argv[launch.argv.index("sglang.launch_server") + 1 :]


def test_sglangs_own_parser_takes_every_flag_of_a_launch(environment: Environment) -> None:
    goals = (Goal(), Goal(context=4096, concurrency=4))
    lines = [words(environment, machine, goal) for machine in MACHINES for goal in goals]
    assert any("--tp-size" in line for line in lines)
    assert run(environment, PARSE, json.dumps(lines)) == "ok"


def test_its_scripts_work_where_the_environment_stands(environment: Environment) -> None:
    assert environment.path
    scripts = Path(environment.path) / "bin"
    assert (scripts / "sglang").read_text(encoding="utf-8").startswith(f"#!{scripts}/python")
    assert ".building-" not in (scripts / "activate").read_text(encoding="utf-8")
