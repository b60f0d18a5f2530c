from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmserve.engine.base import Progress
from llmserve.engine.sglang import SGLang

RECORDINGS = Path("tests/recordings")
ORDER = ["start", "load", "kv_cache", "graphs", "warmup"]
progress = SGLang().progress


def lines_of(name: str) -> list[str]:
    text = (RECORDINGS / "sglang-0.5.23-cpu" / f"{name}.log").read_text(encoding="utf-8")
    return [line.strip() for line in text.replace("\r", "\n").splitlines()]


def stages(lines: list[str]) -> list[str]:
    found = [step.stage for line in lines if (step := progress(line))]
    return [stage for i, stage in enumerate(found) if i == 0 or stage != found[i - 1]]


@pytest.mark.parametrize("name", ["clean_sigterm", "clean_sigint_group", "served", "served_with_key", "amx_default"])
def test_a_start_on_a_cpu_goes_through_every_stage_in_order(name: str) -> None:
    assert stages(lines_of(name)) == ["start", "load", "kv_cache", "warmup"]


def test_a_failed_start_stops_where_it_failed() -> None:
    assert stages(lines_of("truncated_weights")) == ["start", "load"]
    assert stages(lines_of("bad_flag")) == []


def test_the_words_ready_to_roll_prove_nothing() -> None:
    """They were printed by a server that had lost its port to another one: see port_in_use.log."""
    line = "[2026-11-22 22:17:49] The server is fired up and ready to roll!"
    assert line in lines_of("port_in_use")
    assert progress(line) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:03<00:09,  3.1s/it]",
            Progress(stage="load", detail="loading weights", done=1, total=4, unit="shards"),
        ),
        (
            (
                "Multi-thread loading shards:   0% Completed | 0/8 [00:00<?, ?it/s]Multi-thread loading shards:  "
                "50% Completed | 4/8 [00:01<00:01, 3.5it/s]"
            ),
            Progress(stage="load", detail="loading weights", done=4, total=8, unit="shards"),
        ),
        (
            "Capturing batches (bs=24 avail_mem=8.98 GB):  42%|████▏     | 15/36 [00:05<00:07,  2.9it/s]",
            Progress(stage="graphs", detail="capturing CUDA graphs", done=15, total=36, unit="graphs"),
        ),
        (
            "Capturing prefill shape (num_tokens=8192 avail_mem=12.59 GB):   0%|          | 0/58 [00:00<?, ?it/s]",
            Progress(stage="graphs", detail="capturing CUDA graphs", done=0, total=58, unit="graphs"),
        ),
        (
            "[2026-11-22 22:28:14 TP0] Capture target decode CUDA graph begin. backend=full, bs=[1, 2], avail mem=9 GB",
            Progress(stage="graphs", detail="capturing target decode CUDA graphs"),
        ),
        (
            "[2025-03-01 10:00:00] Capture cuda graph end. Time elapsed: 26.12 s.",
            Progress(stage="graphs", detail="CUDA graphs captured"),
        ),
        (
            "[2026-11-22 22:28:14] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 392920, K size: 17.99 GB",
            Progress(stage="kv_cache", detail="KV cache of 392920 tokens allocated"),
        ),
        (
            "[2024-10-01 10:00:00] KV Cache is allocated. K size: 27.13 GB, V size: 27.13 GB.",
            Progress(stage="kv_cache", detail="KV cache allocated"),
        ),
    ],
)
def test_a_line_becomes_a_step(line: str, expected: Progress) -> None:
    assert progress(line) == expected


@pytest.mark.parametrize("rank", ["TP1", "DP1 TP0", "TP0 EP3", "PP1"])
def test_workers_other_than_the_first_say_nothing_new(rank: str) -> None:
    assert progress(f"[2026-11-22 22:28:14 {rank}] Load weight begin. avail mem=20.94 GB") is None
    assert progress("[2026-11-22 22:28:14 TP0] Load weight begin. avail mem=20.94 GB")


def test_public_logs_of_two_years_are_understood() -> None:
    records = json.loads((RECORDINGS / "sglang-startups.json").read_text(encoding="utf-8"))
    whole = [record["lines"] for record in records if any("Load weight begin" in line for line in record["lines"])]
    assert len(whole) > 20
    for lines in whole:
        first = list(dict.fromkeys(stages([line.removeprefix("[] ") for line in lines])))
        assert first == [stage for stage in ORDER if stage in first], lines
        assert "load" in first
