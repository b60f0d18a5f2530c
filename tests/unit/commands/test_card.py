"""The card of a ready server: what was predicted, and what the engine reports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmserve.commands import card
from llmserve.engine.base import Facts
from llmserve.engine.server import Server
from tests.fakes.plans import GIB, on_the_cpu, qwen3_8b_plan

PLAN = qwen3_8b_plan()
PLAN = replace(PLAN, predicted=replace(PLAN.predicted, free_bytes=4 * GIB))
SERVER = Server(
    name="s", directory="/s", url="http://127.0.0.1:30000/v1", host="127.0.0.1", port=30000, model="qwen3-8b",
    engine="sglang", engine_version="0.5.23", plan=PLAN, state="ready", started_at=1000.0, ready_at=1042.5,
)  # fmt: skip


def rows(**facts: Any) -> dict[str, str]:
    text = card.ready(replace(SERVER, facts=Facts(**facts)), why="", asked_port=None, detached=False).human
    return {line[2:12].strip(): line[13:] for line in text.split("\n\n")[0].splitlines()}


def test_each_figure_that_is_known_stands_beside_its_prediction() -> None:
    shown = rows(kv_tokens=413_696, weight_bytes=15 * GIB, free_bytes=5 * GIB)
    assert shown["KV tokens"] == "409,600 predicted, 413,696 actual (+1.0% against the plan)"
    assert shown["Weights"] == "15.39 GiB predicted, 15.00 GiB actual (-2.5% against the plan)"
    assert shown["Left free"] == "4.00 GiB predicted, 5.00 GiB actual (+25.0% against the plan)"


def test_what_is_right_is_not_called_off() -> None:
    shown = rows(kv_tokens=409_600, weight_bytes=PLAN.predicted.weights_bytes_per_gpu - 1)
    assert shown["KV tokens"] == "409,600 predicted, 409,600 actual"
    assert shown["Weights"] == "15.39 GiB predicted, 15.39 GiB actual"


def test_what_the_engine_does_not_tell_has_no_line() -> None:
    assert {"Weights", "Left free"}.isdisjoint(rows(kv_tokens=1))
    assert rows()["KV tokens"] == "409,600 predicted; the engine does not report its own"


def test_rounding_of_tiny_weights_is_not_shown() -> None:
    tiny = replace(on_the_cpu().predicted, weights_bytes_per_gpu=1_000_000)
    server = replace(SERVER, plan=on_the_cpu(predicted=tiny), facts=Facts(weight_bytes=10_000_000, free_bytes=1))
    assert "Weights" not in card.ready(server, why="", asked_port=None, detached=False).human
