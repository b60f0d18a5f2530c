"""``llmserve plan --history``: predicted beside actual."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llmserve import history
from llmserve.commands.history_table import HEADER, table
from llmserve.output.ledger import Look
from llmserve.plan.calibration import EXTRA
from tests.fakes.starts import PREDICTED, as_predicted, start


def test_the_newest_start_stands_first_with_its_error() -> None:
    found = table([start(model="old"), start(as_predicted(kv_tokens=413_696), model="new")])
    header, first, second = found.human.splitlines()
    assert header.split("   ")[0] == HEADER[0]
    assert "new" in first
    assert "409,600 → 413,696   +1.0%" in first
    assert "old" in second
    assert "+0.0%" in second
    assert "sglang 0.5.23   NVIDIA H100 80GB HBM3 x1   1 " in first
    assert "15.39 GiB → 15.39 GiB" in first
    assert "4.00 GiB → 4.00 GiB" in first
    assert first.endswith("42 s")


def test_what_the_engine_did_not_tell_is_a_question_mark() -> None:
    silent = replace(as_predicted(), kv_tokens=None, weight_bytes=None, free_bytes=None, seconds=None)
    row = table([start(silent, predicted=replace(PREDICTED, free_bytes=None))]).human.splitlines()[1]
    assert "409,600 → ?" in row
    assert "15.39 GiB → ?" in row
    assert "? → ?" in row
    assert row.endswith("?")


def test_the_data_has_every_figure_and_its_error() -> None:
    measured = as_predicted(weight_bytes=PREDICTED.weights_bytes_per_gpu // 2, free_bytes=None)
    data = table([start(measured)]).data["starts"][0]
    assert json.loads(json.dumps(data)) == data
    assert data["predicted"]["kv_tokens"] == data["measured"]["kv_tokens"] == 409_600
    assert data["errors"] == {
        "kv_tokens": 0.0, "kv_bytes": 0.0, "weight_bytes": -0.5, "graph_bytes": 0.0, "before_load_bytes": 0.0,
        "free_bytes": None,
    }  # fmt: skip


def test_starts_changed_by_hand_are_marked() -> None:
    plain, changed = table([start()]), table([start(flags={EXTRA: "--mem-fraction-static"})])
    assert "qwen3-8b*" in changed.human
    assert "*" not in plain.human
    assert len(changed.messages) == len(plain.messages) + 1


def test_the_record_is_read_where_nothing_is_given() -> None:
    assert "No start is on record" in table().human
    assert table().data == {"starts": []}
    history.append(start(model="recorded"))
    assert "recorded" in table().human
    assert table().quiet == "recorded\t409600\t409600"


def test_names_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in table([start(model="evil\x1b[2J")]).human


def test_a_plan_without_a_pool_has_no_error() -> None:
    found = table([start(as_predicted(kv_tokens=5), predicted=replace(PREDICTED, kv_tokens=0))])
    assert found.data["starts"][0]["errors"]["kv_tokens"] is None
    assert "0 → 5" in found.human


@pytest.mark.parametrize("width", [24, 60, 80])
def test_a_narrow_terminal_gets_a_few_lines_for_each_start(width: int) -> None:
    lines = table([start(model="old"), start(model="new")], Look(width)).human.splitlines()
    assert len(lines) >= 10
    assert max(map(len, lines)) <= max(width, 45)  # single words are not broken
    text = " ".join(" ".join(lines).split())
    assert text.index("new, sglang 0.5.23 on NVIDIA H100 80GB HBM3 x1") < text.index("old, sglang")
    assert "409,600 → 409,600 (+0.0%)" in text


def test_a_wide_terminal_gets_the_table() -> None:
    found = table([start()], Look(200)).human
    assert found == table([start()]).human
