from __future__ import annotations

import queue
from pathlib import Path

import pytest

from llmserve.engine import oom
from llmserve.engine.life import Life
from llmserve.engine.llamacpp import LlamaCpp
from llmserve.engine.server import Server
from tests.fakes.plans import on_the_cpu


@pytest.fixture
def counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "vmstat"
    file.write_text("pgfault 12\noom_kill 3\n")
    monkeypatch.setattr(oom, "COUNTERS", file)
    return file


@pytest.fixture
def life(counters: Path, tmp_path: Path) -> Life:
    server = Server(
        name="tiny", directory=str(tmp_path), url="", host="127.0.0.1", port=1, model="tiny", engine="llamacpp",
        engine_version="1", plan=on_the_cpu(),
    )  # fmt: skip
    return Life(1, server, LlamaCpp(), api_key=None, events=queue.SimpleQueue(), on_progress=lambda _: None)


def test_a_kill_that_the_kernel_counted_is_told_as_a_lack_of_memory(life: Life, counters: Path) -> None:
    assert life.cause(-9).code == "killed"
    counters.write_text("pgfault 13\noom_kill 4\n")
    assert (life.cause(-9).code, life.cause(-9).exit_code) == ("host_out_of_memory", 3)
    assert life.cause(-11).code == "crashed"


def test_it_is_a_failure_after_which_less_is_tried(life: Life, counters: Path) -> None:
    counters.write_text("oom_kill 4\n")
    change = LlamaCpp().ease(("--ctx-size", "8192"), life.cause(137), "kv_cache", kept=())
    assert change
    assert (change.flag, change.after) == ("--ctx-size", "4096")


@pytest.mark.parametrize("text", ["", "oom_kill many\n", "pgfault 1\n"])
def test_a_kernel_that_does_not_count_says_nothing(counters: Path, text: str) -> None:
    counters.write_text(text)
    assert oom.kills() == 0
    counters.unlink()
    assert oom.kills() == 0
