"""What ``llmserve bench`` writes, reads back, and puts side by side."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmserve.app import run
from llmserve.bench.compare import Entry, read
from llmserve.bench.facts import without_secrets
from llmserve.bench.report import csv_text, markdown, page
from tests.fakes.paced_process import PacedProcess, paced

Capture = pytest.CaptureFixture[str]
RECORDED = Path(__file__).parents[2] / "recordings" / "load-generators"
SMALL = ("--input", "40", "--output", "8")
EVIL = "<script>alert(1)</script>|=1+1\x1b[31m"


@pytest.fixture(scope="module")
def server() -> Iterator[PacedProcess]:
    with paced() as one:
        yield one


def bench(capsys: Capture, *args: str, exit_code: int = 0) -> dict[str, Any]:
    assert run(["bench", *args, "--json"]) == exit_code
    data: dict[str, Any] = json.loads(capsys.readouterr().out)["data"]
    return data


def test_a_sweep_is_stored_and_read_back(server: PacedProcess, capsys: Capture, tmp_path: Path) -> None:
    import jsonschema

    names = {name: tmp_path / f"run.{name}" for name in ("csv", "md", "html")}
    options = [part for name, path in names.items() for part in (f"--{name}", str(path))]
    data = bench(capsys, "--base-url", server.url, *SMALL, "--sweep", "-c", "4", "-n", "8",
                 "--slo", "ttft:p50<60s", "--save", str(tmp_path / "run.json"), "--gpu-hour", "2",
                 *options)  # fmt: skip
    found = data["run"]["search"]
    assert [level["load"] for level in found["levels"]] == [1, 2, 4]
    assert found["fits"] == 4
    assert data["load"]["concurrency"] == 4
    assert data["run"]["cost"]["own_per_million"] > 0
    assert any(said.startswith("One user alone") for said in data["run"]["answers"])
    assert data["run"]["machine"]["server_here"] is True
    assert data["run"]["server"]["model"]["id"] == "paced"
    assert len(data["run"]["curves"]["ttft_ms"]) == 102
    assert run(["bench", "--schema", "-q"]) == 0
    jsonschema.validate(data, json.loads(capsys.readouterr().out))
    (one,) = read(tmp_path / "run.json")
    assert one.figures["ttft_ms_p50"] == data["ttft_ms"]["p50"]
    rows = list(csv.DictReader(io.StringIO(names["csv"].read_text())))
    assert [row["level_load"] for row in rows] == ["", "1", "2", "4"]
    assert "One user alone" in names["md"].read_text()
    assert "run" in names["html"].read_text()


def test_a_missed_sweep_is_exit_code_8_if_asked(server: PacedProcess, capsys: Capture) -> None:
    options = ("--base-url", server.url, *SMALL, "--sweep", "-n", "4", "--slo", "ttft:p50<0.001ms")
    assert bench(capsys, *options)["run"]["search"]["fits"] is None
    bench(capsys, *options, "--fail", exit_code=8)


def test_two_endpoints_in_turns(server: PacedProcess, capsys: Capture) -> None:
    before = server.counters()["completion_tokens"]
    with paced(ttft=60) as slow:
        data = bench(capsys, "--ab", server.url, slow.url, *SMALL, "-c", "2", "-n", "64", "--warmup", "0")
        slow_tokens = slow.counters()["completion_tokens"]
    assert data["pairs"] == 8
    assert data["ratios"]["ttft_ms"]["ratio"] > 1
    for one in (data["a"], data["b"]):  # each without the turns of the other
        assert one["requests"]["ok"] == 32
        assert one["seconds"] == pytest.approx(sum(stage["seconds"] for stage in one["stages"]))
    assert slow_tokens == server.counters()["completion_tokens"] - before == 32 * 8 + 4


def test_results_of_other_tools_are_read(capsys: Capture) -> None:
    (theirs,) = read(RECORDED / "vllm-0.32.0.json")
    assert (theirs.tool, theirs.load, theirs.figures["requests_ok"]) == ("vllm bench serve", "4 at a time", 12)
    assert theirs.figures["requests_failed"] == 0
    assert theirs.figures["ttft_ms_p50"] > 0
    for name, tool in (("sglang-0.5.23", "sglang.benchmark.serving"), ("sglang-rust-0.5.23", "sglang.benchmark, Rust")):
        (other,) = read(RECORDED / f"{name}.jsonl")
        assert other.tool.startswith(tool)
        assert other.figures["output_tokens"] == 192
        assert "requests_failed" not in other.figures  # it says nothing of failures
        assert other.figures["e2e_ms_p99"] >= other.figures["e2e_ms_p50"] > other.figures["ttft_ms_p50"] / 2
    files = [str(RECORDED / name) for name in ("vllm-0.32.0.json", "sglang-0.5.23.jsonl")]
    assert len(bench(capsys, "compare", *files)["runs"]) == 2
    assert run(["bench", "compare", *files]) == 0
    assert "×" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"), [("{}", "no result"), ("nonsense", "no result"), ("[1]", "no result"), ("", "no result"),
                       ('{"schema": "bench-1"}', "no result")],
)  # fmt: skip
def test_what_is_no_result_is_a_sentence(capsys: Capture, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert run(["bench", "compare", str(path)]) == 2
    assert says in capsys.readouterr().err
    assert run(["bench", "compare", str(tmp_path / "missing.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--html", "no-such-folder/x.html"], "no folder"),
        (["--sweep", "--stages", "c=1/1s"], "chooses the loads"),
        (["--ab", "http://a", "http://b", "--rows", "x.jsonl"], "names both"),
    ],
)
def test_wrong_wishes_are_a_sentence_before_anything_is_sent(capsys: Capture, args: list[str], says: str) -> None:
    url = [] if "--ab" in args else ["--base-url", "http://127.0.0.1:9"]
    assert run(["bench", *url, "-n", "1", *args]) == 2
    assert says in capsys.readouterr().err


def test_parquet_without_its_library_is_a_sentence(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["bench", "--base-url", "http://127.0.0.1:9", "-n", "1", "--rows", "x.parquet"]) == 2
    assert "pyarrow" in capsys.readouterr().err


def test_what_strangers_wrote_is_no_markup_and_no_formula() -> None:
    evil = [Entry(label=EVIL, tool="=x", model=EVIL, base_url=EVIL, answers=[EVIL], by_cause={EVIL: 1})]
    text = page(evil)
    assert "<script>alert" not in text
    assert text.count("<script") == 2
    assert "<script" not in markdown(evil)
    assert "\\|" in markdown(evil)
    assert "\x1b" not in csv_text(evil) + markdown(evil)
    assert "'=x" in csv_text(evil)


def test_secrets_are_not_stored() -> None:
    told = {"api_key": "s", "flags": {"admin_api_key": "s", "tp_size": 2}, "list": [{"password": "s"}], "max_tokens": 4}
    assert without_secrets(told) == {"flags": {"tp_size": 2}, "list": [{}], "max_tokens": 4}
