"""The embedded engine's runner takes every flag of every launch, in the engine's own Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from llmserve.engine.base import Address, Environment, Serving
from llmserve.engine.llamacpp import LlamaCpp, runner
from llmserve.models.model import Sampling
from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal
from tests.engine.conftest import require
from tests.fakes.machines import laptop, small_gguf

pytestmark = pytest.mark.engine

GOALS = (Goal(), Goal(context=4096, concurrency=2), Goal(objective="throughput"), Goal(objective="fit", concurrency=1))

ALL = Sampling(temperature=0.7, top_p=0.8, top_k=20, min_p=0.01)

APPLY = """
import json, sys, xllamacpp
sys.path.insert(0, sys.argv[1])
import runner
refused = []
for words in json.load(sys.stdin):
    try:
        runner.apply(xllamacpp.CommonParams(), words)
    except runner.FlagError as error:
        refused.append([str(error), words])
print(json.dumps(refused))
"""


@pytest.fixture(scope="module")
def environment() -> Environment:
    require("llamacpp")
    found = LlamaCpp().environment()
    assert found
    return found


def refused(environment: Environment, lines: list[tuple[str, ...]]) -> list[tuple[str, list[str]]]:
    """What the runner says of each line that it does not take."""
    done = subprocess.run(
        [environment.python, "-c", APPLY, str(Path(runner.__file__).parent)],
        input=json.dumps(lines), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [(said, words) for said, words in json.loads(done.stdout)]


def words(environment: Environment, goal: Goal) -> tuple[str, ...]:
    """What follows the runner's name on the command line of a launch, without the key that needs a file."""
    serving = Serving(
        plan=LlamaCpp().adapt(
            choose(small_gguf(sampling=ALL), laptop(), goal, engine="llamacpp", reason="r"), environment
        ),
        environment=environment, model_path="/m.gguf", served_name="m", address=Address(host="127.0.0.1", port=31234),
    )  # fmt: skip
    argv = LlamaCpp().launch(serving).argv
    return argv[argv.index(runner.__file__) + 1 :]


def test_the_runner_takes_every_flag_of_a_launch(environment: Environment) -> None:
    lines = [words(environment, goal) for goal in GOALS]
    assert {"--model", "--ctx-size", "--parallel", "--threads"} <= set(lines[0])
    assert refused(environment, lines) == []


def test_every_name_of_llama_server_is_an_attribute_of_this_build(environment: Environment) -> None:
    """The key's file must exist, so it is left to the launch tests."""
    flags = ["--" + name.replace("_", "-") for name in runner.LLAMA_SERVER_NAMES if name != "api_key_file"]
    said = refused(environment, [(f"{flag}=1",) for flag in flags])
    assert [text for text, _ in said if "unrecognized" in text] == []


def test_a_flag_that_does_not_exist_is_told(environment: Environment) -> None:
    assert refused(environment, [("--no-such-flag", "1")]) == [
        ("unrecognized arguments: --no-such-flag", ["--no-such-flag", "1"])
    ]
