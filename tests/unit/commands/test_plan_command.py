"""``llmserve plan``: options become a goal, answers become text, JSON by a published schema, and exit codes."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from llmserve import app, hardware, models
from llmserve.commands import history_table, quantities
from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware.machine import Machine
from llmserve.models.model import Candidate, Model, Source
from llmserve.output.ledger import Look
from llmserve.plan import choose
from llmserve.plan.plan import Alternative, Doubt, Flag, Goal, Plan, PlannedGpu, Prediction, Share, Term
from llmserve.plan.users import UsersAt
from llmserve.result import Result
from tests.fakes.machines import qwen3_8b
from tests.fakes.plans import GIB, qwen3_8b_plan

SCHEMA = Path(__file__).parents[3] / "templates" / "schemas" / "plan-1.json"
ALTERNATIVES = [{"what": "A shorter context", "why": "16,384 tokens fit", "options": ["--context 16384"]}]

Answer = Callable[[Model, Machine], Plan]


class Planner:
    """Stands in for the planner: says what it was asked, and answers with a plan by hand or a refusal."""

    def __init__(self) -> None:
        self.goals: list[Goal] = []
        self.described: list[str] = []
        self.small: tuple[str, ...] = ()

    def resolve(self, ref: str, **_: object) -> Candidate:
        return Candidate(ref=ref, name=ref, sources=(Source(format="safetensors", repo=f"org/{ref}"),))

    def describe(self, candidate: Candidate, format: str, **_: object) -> Model:  # noqa: A002
        self.described.append(candidate.name)
        return replace(qwen3_8b(), ref=candidate.ref, name=candidate.name)

    def choose(self, model: Model, machine: Machine, goal: Goal, **_: object) -> Plan:
        self.goals.append(goal)
        if machine.name in self.small:
            raise DoesNotFitError(
                f"{model.name} needs 18.40 GiB, 2.00 GiB are missing.", hint="A shorter context: 16,384 tokens fit.",
                data={"missing_bytes": 2 * GIB, "alternatives": ALTERNATIVES},
            )  # fmt: skip
        return qwen3_8b_plan(model=model.name)


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch) -> Planner:
    fake = Planner()
    monkeypatch.setattr(models, "resolve", fake.resolve)
    monkeypatch.setattr(models, "describe", fake.describe)
    monkeypatch.setattr(choose, "choose", fake.choose)
    monkeypatch.setenv("COLUMNS", "80")
    return fake


def run(*args: str) -> int:
    return app.run(["plan", *args])


def envelope(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    return body


def test_options_become_the_goal(planner: Planner) -> None:
    words = (
        "--machine h100 --context 32k --concurrency 16 --objective latency --gpus 1 --kv-dtype fp8 --reserve 2GiB "
        "--hicache 64G --fixed --mem-fraction-static=0.85 --fixed tp-size=1 --fixed speculative_algorithm=EAGLE"
    )
    assert run("qwen3-8b", *words.split()) == 0
    assert planner.goals == [
        Goal(
            context=32_768, concurrency=16, objective="latency", gpus=1, kv_dtype="fp8_e4m3", reserve_bytes=2 * GIB,
            host_cache_bytes=64 * GIB,
            fixed=(("mem_fraction_static", "0.85"), ("tp_size", "1"), ("speculative_algorithm", "EAGLE")),
        )
    ]  # fmt: skip


def test_without_options_everything_is_left_open(planner: Planner) -> None:
    assert run("qwen3-8b", "--machine", "h100", "--kv-dtype", "auto") == 0
    assert planner.goals == [Goal()]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("8192", 8192), ("32k", 32_768), ("128K", 131_072), ("1m", 1_048_576), ("1.5k", 1536), ("32,768", 32_768),
        ("32_768", 32_768), (" 4k ", 4096), ("1", 1),
    ],
)  # fmt: skip
def test_tokens_as_people_write_them(text: str, tokens: int) -> None:
    assert quantities.tokens(text, "--context") == tokens


@pytest.mark.parametrize("text", ["", "k", "0", "-5", "1.0001k", "32g", "long", "1e3", "3,27", "9" * 30, "nan", "٣"])
def test_what_is_no_number_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--context"):
        quantities.tokens(text, "--context")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 * GIB), ("2G", 2 * GIB), ("2g", 2 * GIB), ("500MiB", 500 * 1024**2), ("2GB", 2 * 10**9),
        ("1.5 GiB", GIB * 3 // 2), ("0", 0), ("0GiB", 0), ("1TiB", 1024**4), ("4096b", 4096),
    ],
)  # fmt: skip
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert quantities.size(text, "--reserve") == size


@pytest.mark.parametrize("text", ["", "2", "-1GiB", "GiB", "2 GiB of it", "2PiB", "9999999TiB", "two"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        quantities.size(text, "--reserve")


@pytest.mark.parametrize("command", ["plan", "up"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--engine vllm", "There is no engine called 'vllm'. Use --engine auto, sglang or llamacpp."),
        ("--objective speed", "There is no objective 'speed'. Use --objective latency, throughput or fit."),
        ("--kv-dtype int4", "There is no KV cache type 'int4'. Use --kv-dtype auto, bfloat16, fp8_e4m3 or fp8_e5m2."),
        ("--gpus 0", "--gpus must be at least 1, not 0."),
        ("--concurrency 0", "--concurrency must be at least 1, not 0."),
        ("--context many", "--context 'many' is not a number of tokens. Use --context 8192 or --context 32k."),
        ("--context 0", "--context must be between 1 and 2,147,483,648 tokens, not 0."),
        ("--reserve 2", "--reserve '2' is not a size. Use a number and a unit: --reserve 2GiB, 500MiB."),
        ("--hicache lots", "--hicache 'lots' is not a size."),
        ("--fixed tp", "--fixed 'tp' is not NAME=VALUE. Use --fixed tp=VALUE; a switch takes =true."),
        ("--fixed =2", "--fixed '=2' is not NAME=VALUE."),
        ("--fixed api_key=x", "api_key cannot be pinned with --fixed. Use llmserve's own --api-key-file."),
        ("--fixed tp=2 --fixed --tp-size=4", "tp_size is fixed to both 2 and 4."),
        ("--fixed tp=4 --gpus 2", "--gpus 2 contradicts --fixed tp_size=4, which takes 4."),
        ("--fixed tp=2 --fixed pp=2 --gpus 2", "--gpus 2 contradicts --fixed tp_size=2 pp_size=2, which takes 4."),
        ("--fixed tp=two", "--fixed tp_size=two is not possible"),
        ("--context 8k --fixed context_length=4096", "--context 8192 contradicts --fixed context_length=4096."),
        ("--kv-dtype fp8 --fixed kv_cache_dtype=bfloat16", "--kv-dtype fp8_e4m3 contradicts"),
        ("--engine llamacpp --hicache 8GiB", "--hicache contradicts --engine llamacpp, which has no such cache."),
    ],
)
def test_wishes_that_make_no_sense_are_one_sentence_and_exit_2(
    planner: Planner, capsys: pytest.CaptureFixture[str], command: str, words: str, says: str
) -> None:
    assert app.run([command, "qwen3-8b", *words.split()]) == 2
    shown = capsys.readouterr()
    assert says in " ".join(shown.err.split())
    assert shown.out == ""
    assert planner.goals == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "No model was named."),
        ("a b --machine h100", "2 plans were asked for at once. Add --compare"),
        ("a --machine h100 --machine l4", "2 plans were asked for at once."),
        ("a b --compare --revision x", "--revision can mean one model only."),
        ("a --machine nowhere", "There is no machine profile 'nowhere'."),
    ],
)
def test_a_shape_that_cannot_be_answered_is_refused(
    planner: Planner, capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    assert run(*words.split()) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_plan_is_shown_with_its_reasons(planner: Planner, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("qwen3-8b", "--machine", "h100") == 0
    out, err = capsys.readouterr()
    assert out.startswith("qwen3-8b fits on 1 × NVIDIA H100 80GB HBM3 with SGLang: 10 requests of 40,960\n")
    assert "Arithmetic" not in out
    assert (err, "\x1b" in out) == ("", False)
    assert run("qwen3-8b", "--machine", "h100", "--explain") == 0
    assert "Arithmetic:\n  free before load  = 79.00 - 0.55 = 78.45 GiB" in capsys.readouterr().out


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_alone(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, plain = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert run("qwen3-8b", "--machine", "h100") == 0
    assert "  \x1b[34m█\x1b[0m  weights          15.39 GiB" in screen.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", plain)
    assert run("qwen3-8b", "--machine", "h100") == 0
    assert "\x1b" not in plain.getvalue()
    assert re.sub(r"\x1b\[\d+m", "", screen.getvalue()) == plain.getvalue()


def test_quiet_is_one_line_for_a_shell(planner: Planner, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("qwen3-8b", "--machine", "h100", "-q") == 0
    assert capsys.readouterr().out == (
        "--mem-fraction-static 0.906 --max-running-requests 256 --enable-metrics\n"
    )  # fmt: skip


def test_a_refusal_says_what_is_missing_and_what_would_help(
    planner: Planner, capsys: pytest.CaptureFixture[str]
) -> None:
    planner.small = ("l4",)
    assert run("qwen3-8b", "--machine", "l4") == 3
    out, err = capsys.readouterr()
    assert err == "error: qwen3-8b needs 18.40 GiB, 2.00 GiB are missing.\n"
    assert out == "What would make it fit:\n  - A shorter context: 16,384 tokens fit\n      add --context 16384\n"
    assert run("qwen3-8b", "--machine", "l4", "-q") == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("2.00 GiB are missing.\n  A shorter context: 16,384 tokens fit.\n")


def test_a_check_is_one_line_and_an_exit_code(planner: Planner, capsys: pytest.CaptureFixture[str]) -> None:
    planner.small = ("l4",)
    assert run("qwen3-8b", "--machine", "h100", "--check") == 0
    assert capsys.readouterr() == (
        "qwen3-8b fits on 1 × NVIDIA H100 80GB HBM3 with SGLang: 10 requests of 40,960 tokens at once.\n", "",
    )  # fmt: skip
    assert run("qwen3-8b", "--machine", "l4", "--check") == 3
    assert capsys.readouterr() == (
        "", "error: qwen3-8b does not fit on l4: qwen3-8b needs 18.40 GiB, 2.00 GiB are missing.\n"
    )  # fmt: skip
    assert run("qwen3-8b", "--machine", "l4", "--machine", "h100", "--check") == 3
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["qwen3-8b", "does", "not"],
        ["h100:", "qwen3-8b", "fits"],
    ]
    assert err == "error: 1 of 2 plans do not fit.\n"


COMPARED = """\
MODEL      MACHINE  GPUS    WEIGHTS  KV TOKENS  8k  32k  128k
qwen3-8b   h100        1  15.39 GiB    409,600  50   12     -
qwen3-8b   l4         no          -          -   -    -     -
qwen3-32b  h100        1  15.39 GiB    409,600  50   12     -
qwen3-32b  l4         no          -          -   -    -     -

The last columns are users at the same time with that many tokens each.

qwen3-8b does not fit on l4: qwen3-8b needs 18.40 GiB, 2.00 GiB are missing.

qwen3-32b does not fit on l4: qwen3-32b needs 18.40 GiB, 2.00 GiB are missing.
"""


def test_several_plans_stand_side_by_side(planner: Planner, capsys: pytest.CaptureFixture[str]) -> None:
    planner.small = ("l4",)
    words = ("qwen3-8b", "qwen3-32b", "--machine", "h100", "--machine", "l4", "--compare")
    assert run(*words) == 0
    assert capsys.readouterr() == (COMPARED, "")
    assert planner.described == ["qwen3-8b", "qwen3-32b"]  # once each, whatever the number of machines
    assert run(*words, "-q") == 0
    assert capsys.readouterr().out == "qwen3-8b h100\nqwen3-32b h100\n"
    planner.small = ("l4", "h100")
    assert run(*words) == 3
    assert "None of the 4 plans fits." in capsys.readouterr().err


def test_machines_of_one_name_are_told_apart_by_their_files(
    planner: Planner, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("one.json", "two.json"):
        hardware.save(replace(hardware.load("l4"), name="a server"), tmp_path / name)
    files = [str(tmp_path / name) for name in ("one.json", "two.json")]
    assert run("qwen3-8b", "--machine", files[0], "--machine", files[1], "--compare", "--json") == 0
    assert [plan["machine_name"] for plan in envelope(capsys)["data"]["plans"]] == files


def test_a_comparison_stands_under_its_models_where_that_is_narrow_enough(
    planner: Planner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("qwen3-8b", "qwen3-32b", "--machine", "h100", "--machine", "l4", "--compare")
    wide = COMPARED.splitlines()[0]
    monkeypatch.setenv("COLUMNS", str(len(wide) - 1))
    assert run(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:7]] == ["MODEL,", "qwen3-8b", "h100", "l4", "qwen3-32b", "h100", "l4"]
    assert lines[1] == "qwen3-8b"
    assert max(map(len, lines)) < len(wide)
    assert lines[2].split()[1:] == COMPARED.splitlines()[1].split()[2:]


def test_a_narrow_comparison_is_a_list(
    planner: Planner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert run("qwen3-8b", "qwen3-32b", "--machine", "h100", "--compare") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 40
    assert out.startswith("- h100: qwen3-8b fits on 1 × NVIDIA H100\n  80GB")


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_json_follows_the_published_schema(
    planner: Planner, capsys: pytest.CaptureFixture[str], validator: Draft202012Validator
) -> None:
    assert run("qwen3-8b", "--machine", "h100", "--json") == 0
    body = envelope(capsys)
    data = body["data"]
    validator.validate(data)
    assert (body["status"], data["schema_version"], data["fits"], data["machine_name"]) == ("ok", 1, True, "h100")
    assert data["predicted"]["kv_tokens"] == 409_600
    assert data["predicted"]["band"] == [401_408, 417_792]
    assert data["flags"][0] == {
        "name": "--mem-fraction-static", "value": "0.906", "reason": "(weights + KV cache) / free memory",
    }  # fmt: skip
    assert sum(share["size_bytes"] for share in data["gpus"][0]["ledger"]) == data["gpus"][0]["free_bytes"]
    assert data["checkpoint"]["weight_bytes"] == qwen3_8b().weight_bytes
    assert data["users"][0] == {"context": 4096, "users": 100, "least": 98, "limit": "memory", "planned": True}


def test_json_of_a_refusal_has_errors_and_what_is_known(
    planner: Planner, capsys: pytest.CaptureFixture[str], validator: Draft202012Validator
) -> None:
    planner.small = ("l4",)
    for extra in ((), ("--check",)):
        assert run("qwen3-8b", "--machine", "l4", "--json", *extra) == 3
        body = envelope(capsys)
        validator.validate(body["data"])
        assert (body["status"], body["exit_code"], body["errors"][0]["code"]) == ("error", 3, "does_not_fit")
        assert body["data"]["fits"] is False
        assert body["data"]["missing_bytes"] == 2 * GIB
        assert body["data"]["alternatives"] == ALTERNATIVES


def test_json_of_a_comparison_has_every_plan(
    planner: Planner, capsys: pytest.CaptureFixture[str], validator: Draft202012Validator
) -> None:
    planner.small = ("l4",)
    assert run("qwen3-8b", "--machine", "h100", "--machine", "l4", "--compare", "--json") == 0
    data = envelope(capsys)["data"]
    validator.validate(data)
    assert [(one["machine_name"], one["fits"]) for one in data["plans"]] == [("h100", True), ("l4", False)]


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ("tiny --machine h100", True),
        ("tiny --machine laptop", True),
        ("tiny --machine laptop --engine sglang", True),
        ("deepseek-r1 --machine h200x8", True),
        ("gpt-oss-120b --machine h100", True),
        ("qwen3.5-27b --machine h100", True),
        ("deepseek-r1 --machine h100x8", False),
        ("llama-3.3-70b --machine h100 --context 128k", False),
    ],
)
def test_real_plans_follow_the_schema(
    words: str, fits: bool, capsys: pytest.CaptureFixture[str], validator: Draft202012Validator,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert run(*words.split(), "--json") == (0 if fits else 3)
    data = envelope(capsys)["data"]
    validator.validate(data)
    assert data["fits"] is fits
    if fits:
        assert data["users"][0]["users"] >= 1
    else:
        assert data["missing_bytes"] > 0
        assert data["alternatives"]


def test_a_dry_run_shows_the_same_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tiny", "--machine", "h100") == 0
    shown = capsys.readouterr().out
    assert app.run(["up", "tiny", "--machine", "h100", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(shown + "\nCommand:\n")


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("plan", Plan), ("gpu", PlannedGpu), ("share", Share), ("flag", Flag), ("predicted", Prediction),
        ("alternative", Alternative), ("term", Term), ("users", UsersAt), ("doubt", Doubt),
    ],
)  # fmt: skip
def test_the_schema_documents_every_field(name: str, record: type, validator: Draft202012Validator) -> None:
    described = validator.schema["$defs"][name]  # type: ignore[index]
    names = {field.name for field in fields(record)}
    assert names <= set(described["properties"])
    assert names <= set(described["required"])


def test_the_schema_is_refuted_by_what_is_wrong(
    planner: Planner, capsys: pytest.CaptureFixture[str], validator: Draft202012Validator
) -> None:
    run("qwen3-8b", "--machine", "h100", "--json")
    data = envelope(capsys)["data"]
    for wrong in ({"schema_version": 2}, {"fits": False}, {"flags": [{"name": "--x"}]}, {"gpus": None}):
        assert not validator.is_valid(data | wrong)
    assert not validator.is_valid({key: value for key, value in data.items() if key != "predicted"})


def test_the_schema_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--schema") == 0
    assert capsys.readouterr().out == SCHEMA.read_text(encoding="utf-8")
    assert run("--schema", "--json") == 0
    assert envelope(capsys)["data"]["$id"] == "urn:llmserve:plan:1"


def test_history_fits_the_terminal_and_is_one_line_each_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks: list[Look | None] = []

    def table(look: Look | None = None) -> Result:
        looks.append(look)
        return Result(human="a table")

    monkeypatch.setattr(history_table, "table", table)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert run("--history") == 0
    monkeypatch.setenv("COLUMNS", "200")
    assert run("--history") == 0
    assert looks[0] is None
    assert looks[1] is not None
    assert looks[1].width == 200


def test_history_is_its_own_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(history_table, "table", lambda **_: Result(human="a table"))
    assert run("--history") == 0
    assert capsys.readouterr().out == "a table\n"
