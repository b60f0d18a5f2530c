"""``llmserve bench`` against an endpoint that keeps its own books."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmserve.app import run
from llmserve.bench.session import is_near
from tests.fakes.paced_process import TREE, PacedProcess, paced

Capture = pytest.CaptureFixture[str]
COUNTED = ("--input", "40", "--output", "8")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth") / "truth.jsonl"


@pytest.fixture(scope="module")
def server(truth: Path) -> Iterator[PacedProcess]:
    with paced(truth=truth) as one:
        yield one


def bench(server: PacedProcess, capsys: Capture, *args: str, exit_code: int = 0) -> dict[str, Any]:
    """The envelope of one run."""
    assert run(["bench", "--base-url", server.url, *COUNTED, *args, "--json"]) == exit_code
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    return body


def test_a_closed_loop(server: PacedProcess, capsys: Capture) -> None:
    before = server.counters()
    data = bench(server, capsys, "-c", "4", "-n", "20", "--warmup", "0")["data"]
    after = server.counters()
    assert data["requests"]["ok"] == 20
    assert data["requests"]["failed"] == 0
    assert data["tokens"]["output"] == 160
    assert data["tokens"]["input"] == 20 * 40
    assert data["tokens"]["counted"] is True
    # what the server counted, less what it took to learn the words: one token each
    assert after["completion_tokens"] - before["completion_tokens"] == 160 + 4
    assert after["most_clients"] <= 4 + 2  # ours, the counters' own, and the trial connection before them
    assert data["ttft_ms"]["count"] == 20
    assert data["itl_ms"]["count"] == 20 * 7
    assert data["run"]["model"] == "paced"


def test_an_open_loop_reports_from_the_intended_start(server: PacedProcess, capsys: Capture) -> None:
    data = bench(server, capsys, "--rate", "400", "-n", "40", "--max-concurrency", "2")["data"]
    assert data["requests"]["ok"] == 40
    waited = data["queue_ms"]["mean"]
    assert waited > 0
    assert data["first_token_ms"]["mean"] == pytest.approx(data["ttft_ms"]["mean"] + waited, rel=1e-3, abs=0.01)
    assert data["self"]["schedule_lateness_ms"]["count"] == 40


def test_of_five_kinds_of_injected_failures_every_one_is_reported(server: PacedProcess, capsys: Capture) -> None:
    data = bench(server, capsys, "-c", "8", "-n", "100", "--model", "paced:faults=5", "--warmup", "0")["data"]
    requests = data["requests"]
    assert (requests["ok"], requests["failed"]) == (80, 20)
    assert requests["by_cause"] == dict.fromkeys(requests["by_cause"], 4)
    assert set(requests["by_cause"]) == {"status_500", "status_429", "reset", "truncated", "in_stream_error"}
    assert data["tokens"]["output"] == 80 * 8


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("malformed", "malformed"), ("missing_finish", "missing_finish"), ("bad_http", "malformed"),
     ("cut_chunk", "truncated"), ("empty", "empty"), ("status_503", "status_503"), ("silent", "timeout")],
)  # fmt: skip
def test_other_failures(server: PacedProcess, capsys: Capture, fault: str, cause: str) -> None:
    patience = ("--timeout", "3" if fault == "silent" else "300")
    data = bench(server, capsys, "-c", "2", "-n", "4", *patience, "--model", f"paced:fault={fault}",
                 "--warmup", "0", exit_code=1)  # fmt: skip
    assert data["data"]["requests"]["by_cause"] == {cause: 4}
    assert data["data"]["tokens"]["output"] == 0
    assert data["errors"][0]["code"] == "all_failed"


@pytest.mark.parametrize("trap", ["role", "comment", "late_usage", "reasoning=4", "per_chunk=4", "joined_finish"])
def test_traps(server: PacedProcess, capsys: Capture, trap: str) -> None:
    data = bench(server, capsys, "-c", "2", "-n", "6", "--model", f"paced:{trap},ttft=30")["data"]
    assert data["tokens"]["output"] == 48
    assert data["ttft_ms"]["p50"] >= 30
    assert (data["first_answer_ms"] is not None) == (trap == "reasoning=4")
    assert data["tokens"]["per_chunk"] == (4 if trap == "per_chunk=4" else 1)


def test_embeddings_completions_and_sessions(server: PacedProcess, capsys: Capture) -> None:
    data = bench(server, capsys, "--api", "embeddings", "-c", "2", "-n", "6")["data"]
    assert (data["requests"]["ok"], data["tokens"]["input"], data["ttft_ms"]) == (6, 240, None)
    data = bench(server, capsys, "--api", "completions", "-c", "2", "-n", "6")["data"]
    assert (data["requests"]["ok"], data["tokens"]["output"], data["tokens"]["input"]) == (6, 48, 240)
    data = bench(server, capsys, "-c", "2", "-n", "3", "--turns", "3", "--warmup", "0")["data"]
    assert data["requests"]["ok"] == 9
    assert data["tokens"]["input"] > 3 * 40 + 3 * 80


def test_a_trace_and_a_ramp(server: PacedProcess, capsys: Capture, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    lines = [{"arrival": n * 0.02, "input": 30 + n, "output": 2 + n} for n in range(6)]
    trace.write_text("\n".join(map(json.dumps, lines)))
    data = bench(server, capsys, "--trace", str(trace), "--warmup", "0")["data"]
    assert data["load"]["kind"] == "open"
    assert data["requests"]["ok"] == 6
    assert data["tokens"]["input"] == sum(30 + n for n in range(6))
    assert data["tokens"]["output"] == sum(2 + n for n in range(6))
    ramp = ("--rate", "10", "--ramp-to", "90", "--duration", "0.4", "--arrival", "constant", "--warmup", "0")
    assert bench(server, capsys, *ramp)["data"]["requests"]["ok"] == 19  # (10 + 90) / 2 · 0.4, less the last


def test_stages_have_figures_of_their_own(server: PacedProcess, capsys: Capture) -> None:
    data = bench(server, capsys, "--stages", "c=1/3,c=4/12,rate=50/0.4s/9", "--warmup", "0")["data"]
    stages = data["stages"]
    assert [stage["requests"]["ok"] for stage in stages] == [3, 12, 9]
    assert [stage["load"]["kind"] for stage in stages] == ["closed", "closed", "open"]
    assert [stage["load"]["name"] for stage in stages] == ["c=1/3", "c=4/12", "rate=50/0.4s/9"]
    assert data["requests"]["ok"] == 24
    assert data["tokens"]["output"] == 24 * 8


@pytest.mark.parametrize("load", [("-c", "5", "-n", "23"), ("--rate", "100", "-n", "23", "--arrival", "constant")])
def test_several_processes_share_a_load(server: PacedProcess, capsys: Capture, load: tuple[str, ...]) -> None:
    before = server.counters()
    data = bench(server, capsys, *load, "--processes", "3", "--warmup", "0")["data"]
    after = server.counters()
    assert data["requests"]["ok"] == 23
    assert data["tokens"]["output"] == 23 * 8
    assert after["completion_tokens"] - before["completion_tokens"] == 23 * 8 + 4
    assert data["self"]["processes"] == 3
    assert data["self"]["client_lag_ms"]["count"] >= 23
    if load[0] == "--rate":
        assert data["self"]["schedule_lateness_ms"]["count"] == 23


def test_rows_have_a_line_for_every_request(server: PacedProcess, capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    bench(server, capsys, "-c", "3", "-n", "9", "--warmup", "2", "--rows", str(file))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 11
    assert sum(row["measured"] for row in rows) == 9
    assert all(len(row["gaps_ms"]) == 7 and row["output_tokens"] == 8 for row in rows)


def test_a_missed_goal_is_exit_code_8_only_if_asked(server: PacedProcess, capsys: Capture) -> None:
    goal = ("-n", "4", "--slo", "ttft:p50<0.001ms")
    assert bench(server, capsys, *goal)["data"]["goals"][0]["met"] is False
    body = bench(server, capsys, *goal, "--fail", exit_code=8)
    assert body["errors"][0]["code"] == "goal_missed"


def test_the_text(server: PacedProcess, capsys: Capture) -> None:
    assert run(["bench", "--base-url", server.url, *COUNTED, "-c", "2", "-n", "6", "--slo", "ttft:p99<10s"]) == 0
    out = capsys.readouterr().out
    assert "6 ok" in out
    assert "time to first token" in out
    assert "met     ttft:p99<10s" in out
    assert out.splitlines()[2].startswith(("Valid:", "INVALID:"))


def test_the_json_follows_the_published_schema(server: PacedProcess, capsys: Capture) -> None:
    import jsonschema

    assert run(["bench", "--schema", "-q"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for args in (["-c", "2", "-n", "12"], ["--rate", "100", "-n", "5", "--slo", "itl:p95<5s", "--percentiles", "75"]):
        jsonschema.validate(bench(server, capsys, *args)["data"], schema)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--input", "many"], "no length"),
        (["--slo", "fast"], "no objective"),
        (["--api", "speech"], "unknown"),
        (["--arrival", "gamma:0", "--rate", "1"], "unknown"),
        (["--extra", "[1]"], "no JSON object"),
        (["--percentiles", "101"], "percentiles"),
        (["--max-concurrency", "4"], "--rate"),
        (["--ramp-to", "4"], "--duration"),
        (["--trace", "no-such-file"], "cannot be read"),
        (["--images", "many"], "unknown"),
        (["--stages", "c=0/5s"], "nothing"),
        (["--stages", "fast"], "no stage"),
        (["--stages", "c=4", "--rate", "5"], "--stages"),
        (["--stages", "rate=1..5/8"], "seconds"),
    ],
)
def test_wrong_options_are_a_sentence(server: PacedProcess, capsys: Capture, args: list[str], says: str) -> None:
    assert run(["bench", "--base-url", server.url, "-n", "1", *args]) == 2
    assert says in capsys.readouterr().err


def test_nothing_listens(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert run(["bench", "--base-url", url, "-n", "1"]) == 1
    assert "connection refused" in capsys.readouterr().err


def test_a_public_address_is_not_loaded_unasked(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmserve.bench.session.is_near", lambda host: False)
    assert run(["bench", "--base-url", "https://api.example.com", "-c", "9", "-n", "20"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_which_addresses_are_near() -> None:
    assert all(map(is_near, ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.0.1", "localhost"]))
    assert not any(map(is_near, ["8.8.8.8", "2001:4860:4860::8888", "172.32.0.1"]))


def test_ctrl_c_ends_with_a_report(server: PacedProcess, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llmserve", "bench", "--base-url", server.url, *COUNTED, "--duration", "600",
               "--json", "--rows", str(tmp_path / "rows.jsonl"), "--warmup", "0"]  # fmt: skip
    before = server.counters()["completion_tokens"]
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=TREE, env=env, stdout=subprocess.PIPE, text=True) as process:
        while server.counters()["completion_tokens"] < before + 400:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    data = json.loads(out)["data"]
    assert data["requests"]["ok"] > 10
    assert data["run"]["interrupted"] is True
