"""``llmserve bench`` on real engines: its tokens are the server's own, and a starved client says so."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest


def test_tokens_are_the_servers_own_to_the_last_one(server: dict[str, Any]) -> None:
    lengths = ("--input", "uniform:60:200", "--output", "uniform:5:40")
    body = server["cli"].json("bench", "--base-url", server["url"], "-c", "4", "-n", "16", *lengths, timeout=600)
    data = body["data"]
    assert body["status"] == "ok", body
    assert (data["requests"]["ok"], data["requests"]["failed"]) == (16, 0)
    assert data["tokens"]["counted"] is True
    serving = data["run"]["serving"]
    assert serving["output_tokens"] == data["tokens"]["output"]
    assert serving["agrees"] is True


def test_inputs_have_the_length_that_was_asked_for(server: dict[str, Any], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    asked = ("--input", "uniform:100:300", "--output", "4", "--rows", str(rows))
    body = server["cli"].json("bench", "--base-url", server["url"], "-c", "2", "-n", "10", *asked, timeout=600)
    assert body["data"]["requests"]["ok"] == 10
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert all(row["input_tokens"] == row["asked_input"] for row in found)


def test_a_client_that_is_starved_marks_its_run_invalid(server: dict[str, Any]) -> None:
    """It is stopped for most of its life, so it stands still for most of its load, wherever the stops fall."""
    load = ("-c", "4", "--duration", "4", "--input", "100", "--output", "60", "--json")
    process = server["cli"].popen("bench", "--base-url", server["url"], *load)
    ends = time.monotonic() + 300  # from then on it may run as fast as it can
    while process.poll() is None and time.monotonic() < ends:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.2)
    out, err = process.communicate()
    assert out, err
    proof = json.loads(out)["data"]["self"]
    assert proof["valid"] is False
    assert "stood still" in "; ".join(proof["reasons"])


@pytest.mark.parametrize("api", ["completions"])
def test_other_apis(server: dict[str, Any], api: str) -> None:
    asked = ("--api", api, "-c", "2", "-n", "4", "--output", "6", "--input", "50")
    data = server["cli"].json("bench", "--base-url", server["url"], *asked, timeout=600)["data"]
    assert data["requests"]["ok"] == 4
    assert data["tokens"]["output"] == 24
