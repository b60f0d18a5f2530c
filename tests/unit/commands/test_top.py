"""``llmserve top`` from the command line; what it draws is tested in tests/unit/top."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmserve.app import run
from tests.fakes.endpoint import FakeEndpoint, Reply, error

PAGES = Path(__file__).parents[2] / "recordings/metrics"
Capture = pytest.CaptureFixture[str]
SOON = ["--interval", "0.1"]


def fake(*replies: Reply) -> FakeEndpoint:
    return FakeEndpoint({"/metrics": list(replies)})


def page(name: str) -> Reply:
    return Reply(body=(PAGES / f"{name}.txt").read_bytes())


def test_one_sample_as_json(capfd: Capture) -> None:
    with fake(page("sglang-1"), page("sglang-3")) as served:
        assert run(["top", "--base-url", served.url, "--json", *SOON]) == 0
    (server,) = json.loads(capfd.readouterr().out)["data"]["servers"]
    metrics = server["metrics"]
    assert (server["engine"], server["models"], server["error"]) == ("sglang", ["tiny"], None)
    assert metrics["window_s"] >= 0.1
    assert metrics["generation_tokens_per_s"] > 0
    assert metrics["latency_s"]["ttft"]["count"] == 3


def test_one_look_as_text(capfd: Capture) -> None:
    with fake(page("sglang-1")) as served:
        assert run(["top", "--base-url", served.host + "/metrics", "--once", *SOON]) == 0
    assert "requests     0 running, 0 queued" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "No server is running here."),
        (["nope"], 2, "There is no server called 'nope'."),
        (["--interval", "nan", "--once"], 2, "--interval must be a number"),
        (["--interval", "0"], 2, "0"),
        (["tiny", "--base-url", "http://x:1"], 2, "name two things"),
        (["--base-url", "http://127.0.0.1:9"], 1, "connection refused"),
        (["--base-url", "http://127.0.0.1:9", "--once"], 1, "connection refused"),
        (["--base-url", "no address"], 2, "is not the address"),
    ],
)
def test_refusals(args: list[str], code: int, said: str, capfd: Capture) -> None:
    assert run(["top", *args]) == code
    captured = capfd.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_no_metrics(capfd: Capture) -> None:
    with fake(error(404, "Not Found")) as served:
        assert run(["top", "--base-url", served.url, "--json"]) == 1
    (fault,) = json.loads(capfd.readouterr().out)["errors"]
    assert fault["code"] == "no_metrics"
    assert "--enable-metrics" in fault["hint"]
