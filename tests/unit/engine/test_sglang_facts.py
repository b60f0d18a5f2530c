from __future__ import annotations

import json
from pathlib import Path

from llmserve.engine.sglang import SGLang

RECORDINGS = Path("tests/recordings")
facts = SGLang().facts
GIB = 1024**3


def recorded(name: str) -> str:
    return (RECORDINGS / "sglang-0.5.23-cpu" / name).read_text(encoding="utf-8")


def test_a_recorded_server_gives_its_figures() -> None:
    found = facts(json.loads(recorded("server_info.json")), recorded("clean_sigterm.log"))
    assert found.engine_version == "0.5.23"
    assert (found.kv_tokens, found.context, found.concurrency) == (20000, 2048, 16)
    assert found.free_bytes == int(20.93 * GIB)
    assert found.weight_bytes is None  # "-0.00 GB": a tiny model on a CPU cannot be told from noise


def test_the_log_alone_is_enough_for_all_but_the_version() -> None:
    found = facts({}, recorded("clean_sigterm.log"))
    assert found.engine_version is None
    assert (found.kv_tokens, found.context, found.concurrency) == (20000, 2048, 16)


def test_nothing_is_known_of_a_server_that_says_nothing() -> None:
    found = facts({"version": 5, "max_total_num_tokens": "many", "max_running_requests": True}, "")
    assert set(vars(found).values()) == {None}


def test_weights_of_target_and_draft_add_up_on_the_first_gpu_alone() -> None:
    log = "\n".join(
        f"[2026-11-22 22:28:14 TP{rank}] Load weight end. elapsed=5.0 s, type={kind}, mem usage={size} GB."
        for kind, size in (("Target", "67.56"), ("Draft", "1.58"))
        for rank in (0, 1)
    )
    assert facts({}, log).weight_bytes == int((67.56 + 1.58) * GIB)


def test_public_logs_give_the_figures_on_record() -> None:
    records = json.loads((RECORDINGS / "sglang-startups.json").read_text(encoding="utf-8"))
    checked = 0
    for record in records:
        log = "\n".join(record["lines"])
        if "available_gpu_mem=" not in log or "max_running_requests=" not in log or "context_len=" not in log:
            continue
        found = facts({}, log)
        checked += 1
        assert found.kv_tokens == record["kv_tokens"], record["id"]
        assert found.context == record["context_len"]
        assert found.concurrency == record["max_running_requests"]
        assert found.free_bytes == int(record["available_gpu_mem_end_gb"] * GIB)
    assert checked > 6
