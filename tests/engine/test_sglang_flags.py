"""The installed SGLang's own parser against what llmserve knows of its flags, and against plans for many models."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from llmserve.commands.goal_options import KV_DTYPES
from llmserve.engine.base import Address, Environment, Serving
from llmserve.engine.sglang import SGLang, flag_table, launch, vocabulary
from llmserve.engine.sglang.vocabulary import KNOWN, Vocabulary
from llmserve.errors import LlmserveError
from llmserve.hardware import profiles
from llmserve.models import assembly, recipes
from llmserve.models.architecture import from_config
from llmserve.models.model import Candidate, Model, Source
from llmserve.models.parameters import tensor_groups
from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal, Plan
from llmserve.plan.sglang.parsers import parsers
from tests.engine.conftest import require

pytestmark = [pytest.mark.engine, pytest.mark.sglang]

CONFIGS = Path(__file__).parents[1] / "recordings" / "startups" / "configs.json"

BUILD = """
import argparse, json, sys
from sglang.srt.server_args import ServerArgs
class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(message)
parser = Parser(allow_abbrev=False)
ServerArgs.add_cli_args(parser)
"""
LIST = f"""{BUILD}
shown = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
print(json.dumps({{
    name: [str(choice) for choice in action.choices or ()]
    for action in shown for name in action.option_strings if name.startswith("--")
}}))
"""
PARSE = f"""{BUILD}
refused = []
for words in json.load(sys.stdin):
    try:
        parser.parse_args(words)
    except ValueError as error:
        refused.append([str(error), words])
print(json.dumps(refused))
"""


@pytest.fixture(scope="module")
def environment() -> Environment:
    require("sglang")
    found = SGLang().environment()
    assert found
    if found.version != KNOWN:
        pytest.skip(f"SGLang {found.version} is installed; the table speaks of {KNOWN}")
    return found


def run(environment: Environment, code: str, given: str = "") -> Any:
    """What ``code`` prints last, as JSON, in the engine's own Python."""
    done = subprocess.run(
        [environment.python, "-P", "-c", code], env={**os.environ, **launch.platform(environment)}, input=given,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def options(environment: Environment) -> Vocabulary:
    """Every option of SGLang's parser that its help shows, with the values that it is limited to."""
    return {name: frozenset(choices) for name, choices in run(environment, LIST).items()}


def test_the_flags_written_down_are_those_of_the_installed_release(options: Vocabulary) -> None:
    known = vocabulary.known()
    assert known.keys() == options.keys()
    assert {name: known[name] ^ options[name] for name in known if known[name] != options[name]} == {}


def test_the_table_is_right_about_the_installed_release(options: Vocabulary) -> None:
    said = {name: entry.exists_in(KNOWN) for name, entry in flag_table.table().items()}
    assert said == {name: name in options for name in said}


def test_its_own_help_tells_the_same(
    environment: Environment, options: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stranger = replace(environment, version="99.0.0")
    assert vocabulary.accepted(stranger) == options
    kept = next((tmp_path / "llmserve" / "sglang-flags").glob("99.0.0-*.txt"))
    kept.write_text(kept.read_text() + "--only-in-the-file\n")
    again = vocabulary.accepted(stranger)
    assert again
    assert "--only-in-the-file" in again, "it was asked a second time"


@cache
def models() -> tuple[Model, ...]:
    """A model for each recorded config.json that can be planned."""
    found = []
    for name, entry in json.loads(CONFIGS.read_text(encoding="utf-8")).items():
        with contextlib.suppress(LlmserveError, ValueError):
            found.append(_model(name, entry["config"] or {}))
    return tuple(found)


def _model(name: str, config: dict[str, Any]) -> Model:
    source = Source(format="safetensors", repo=name)
    shape = from_config(config, name)
    return assembly.model(
        Candidate(ref=name, name=name, sources=(source,)), source, shape, tensor_groups(config, shape)
    )


GOALS = (
    Goal(),
    Goal(context=4096, concurrency=4, objective="latency"),
    Goal(objective="throughput"),
    Goal(kv_dtype="fp8_e4m3", host_cache_bytes=64 * 1024**3),
    Goal(objective="fit", concurrency=64),
    Goal(gpus=1),
    Goal(fixed=(("tp_size", "2"), ("page_size", "64"), ("schedule_policy", "lpm"))),
    Goal(fixed=(("attn_dp_size", "2"), ("tp_size", "4"), ("mamba_ssm_dtype", "bfloat16"))),
    Goal(fixed=(("ep_size", "2"), ("tp_size", "2"), ("disable_radix_cache", "true"))),
    Goal(nodes=2, gpus=8),
    Goal(kv_dtype="bfloat16", context=32_768),
)


@cache
def plans() -> tuple[Plan, ...]:
    """Plans for SGLang that fit: every model on several machines, with goals in turn."""
    return tuple(_plans())


def _plans() -> Iterator[Plan]:
    machines = [profiles.load(name) for name in profiles.names()]
    turn = cycle(GOALS)
    for number, model in enumerate(models()):
        for offset in (0, 5, 11):
            machine = machines[(number + offset) % len(machines)]
            try:
                yield choose(model, machine, next(turn), engine="sglang", reason="r")
            except LlmserveError:
                continue


def test_there_are_plans_of_every_kind() -> None:
    names = {flag.name for plan in plans() for flag in plan.flags}
    assert len(models()) > 80
    assert len(plans()) > 80
    assert {plan.device for plan in plans()} == {"cpu", "gpu"}
    parallel = {"--tp-size", "--dp-size", "--attn-dp-size", "--ep-size"}
    assert {*parallel, "--kv-cache-dtype", "--tool-call-parser", "--enable-hierarchical-cache"} <= names


def test_sglangs_own_parser_takes_every_plan(environment: Environment) -> None:
    lines = [_words(plan, environment) for plan in plans()]
    assert run(environment, PARSE, json.dumps(lines)) == []


def test_no_plan_asks_for_two_kinds_of_data_parallelism() -> None:
    """SGLang refuses --dp-size beside --attn-dp-size, and its parser cannot tell."""
    both = {"--dp-size", "--attn-dp-size"}
    assert not [plan.model for plan in plans() if both <= {flag.name for flag in plan.flags}]


def _words(plan: Plan, environment: Environment) -> tuple[str, ...]:
    """What follows the module's name on the command line of a launch."""
    serving = Serving(
        plan=SGLang().adapt(plan, environment), environment=environment, model_path="/weights", served_name="m",
        address=Address(host="127.0.0.1", port=31234),
    )  # fmt: skip
    argv = SGLang().launch(serving).argv
    return argv[argv.index("sglang.launch_server") + 1 :]


def test_a_plan_of_the_known_release_is_not_changed(environment: Environment) -> None:
    assert [plan.model for plan in plans() if SGLang().adapt(plan, environment) != plan] == []


def test_every_parser_that_is_chosen_exists(options: Vocabulary) -> None:
    chosen = [parsers(model) for model in models()]
    known = recipes.catalogue()
    tools = {found.tool for found in chosen} | {recipe.tool_call_parser for recipe in known}
    thoughts = {found.reasoning for found in chosen} | {recipe.reasoning_parser for recipe in known}
    assert tools - {None} <= options["--tool-call-parser"]
    assert thoughts - {None} <= options["--reasoning-parser"]


def test_values_that_the_planner_writes_out_exist(options: Vocabulary) -> None:
    assert {*KV_DTYPES, "bfloat16", "fp8_e4m3", "fp8_e5m2"} <= options["--kv-cache-dtype"]
    for phase in ("decode", "prefill"):
        assert "disabled" in options[f"--cuda-graph-backend-{phase}"]
    assert "torch_native" in options["--attention-backend"]
    assert "pytorch" in options["--sampling-backend"]
    assert "bfloat16" in options["--mamba-ssm-dtype"]


def test_the_speculative_algorithm_exists(environment: Environment) -> None:
    """Its parser takes any word here."""
    code = (
        "import json; from sglang.srt.speculative.spec_info import SpeculativeAlgorithm as s; "
        "print(json.dumps(s.from_string('NEXTN').is_eagle()))"
    )
    assert run(environment, code) is True
