"""What a running SGLang tells about itself, from recorded routes and logs of several years."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmserve.engine.sglang import SGLang

RECORDINGS = Path("tests/recordings")
facts = SGLang().facts
GIB = 1024**3


def recorded(name: str) -> str:
    return (RECORDINGS / "sglang-0.5.23-cpu" / name).read_text(encoding="utf-8")


def test_a_recorded_server_gives_its_figures() -> None:
    found = facts(json.loads(recorded("server_info.json")), recorded("served.log"))
    assert found.engine_version == "0.5.23"
    assert (found.kv_tokens, found.context, found.concurrency) == (20000, 2048, 16)
    assert found.before_load_bytes == int(20.51 * GIB)
    assert (found.free_bytes, found.kv_bytes) == (int(20.495 * GIB), int(0.005 * GIB))
    assert (found.weight_bytes, found.graph_bytes) == (int(0.001 * GIB), 0)
    assert found.seconds == {"start": 0.03, "load": 0.04, "kv_cache": 0.6}


def test_the_log_alone_is_enough_for_all_but_the_version() -> None:
    found = facts({}, recorded("clean_sigterm.log"))
    assert found.engine_version is None
    assert (found.kv_tokens, found.context, found.concurrency) == (20000, 2048, 16)
    assert found.free_bytes == int(20.93 * GIB)
    assert found.weight_bytes is None  # "-0.00 GB": a tiny model on a CPU cannot be told from noise


NONSENSE: tuple[dict[str, Any], ...] = (
    {},
    {"version": 5, "max_total_num_tokens": "many", "max_running_requests": True, "internal_states": {}},
    {"internal_states": [None, {"memory_usage": 5}, {"memory_usage": {"weight": "1", "startup_available": True}}]},
    {"internal_states": [{"memory_usage": {"weight": float("inf"), "kvcache": float("nan")}}], "startup_time": []},
    {"startup_time": {"load_weight": None, "cuda_graph": 5}, "context_length": -1},
)


@pytest.mark.parametrize("info", NONSENSE)
@pytest.mark.parametrize("log", ["", "Load weight begin. avail mem=1.2.3 GB\nKV Cache is allocated. K size: . GB"])
def test_nothing_is_known_of_a_server_that_says_nothing(info: dict[str, Any], log: str) -> None:
    assert set(vars(facts(info, log)).values()) == {None}


STAMP = "2026-11-22 22:28:14"
TWO_RANKS = f"""\
[{STAMP} TP0] Init parallel ends. elapsed=3.10 s
[{STAMP} TP1] Init parallel ends. elapsed=3.20 s
[{STAMP} TP0] Load weight begin. avail mem=78.40 GB
[{STAMP} TP1] Load weight begin. avail mem=78.10 GB
[{STAMP} TP1] Load weight end. elapsed=6.00 s, type=Target, avail mem=10.55 GB, mem usage=67.55 GB.
[{STAMP} TP0] Load weight end. elapsed=5.00 s, type=Target, avail mem=10.84 GB, mem usage=67.56 GB.
[{STAMP} TP0] Load weight begin. avail mem=10.80 GB
[{STAMP} TP1] Load weight begin. avail mem=10.50 GB
[{STAMP} TP0] Load weight end. elapsed=1.00 s, type=Draft, avail mem=9.22 GB, mem usage=1.58 GB.
[{STAMP} TP1] Load weight end. elapsed=1.00 s, type=Draft, avail mem=8.92 GB, mem usage=1.58 GB.
[{STAMP} TP0] Use sliding window memory pool. full_layer_tokens=9000, swa_layer_tokens=7200
[{STAMP} TP0] SWA KV Cache is allocated. dtype: torch.bfloat16, #tokens: 7200, K size: 1.25 GB, V size: 1.25 GB
[{STAMP} TP0] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 9000, K size: 0.50 GB, V size: 0.50 GB
[{STAMP} TP1] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 9000, K size: 0.50 GB, V size: 0.50 GB
[{STAMP} TP0] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 9000, KV size: 0.25 GB
[{STAMP} TP0] Capture target prefill CUDA graph end. elapsed=20.00 s, mem usage=1.50 GB, avail mem=4.00 GB.
[{STAMP} TP1] Capture target prefill CUDA graph end. elapsed=21.00 s, mem usage=1.25 GB, avail mem=4.00 GB.
[{STAMP} TP0] Capture target verify CUDA graph end. elapsed=3.00 s, mem usage=0.50 GB, avail mem=3.50 GB.
[{STAMP} TP1] Capture target verify CUDA graph end. elapsed=3.00 s, mem usage=0.50 GB, avail mem=3.50 GB.
[{STAMP} TP0] max_total_num_tokens=9000, chunked_prefill_size=8192, max_prefill_tokens=16384, \
max_running_requests=48, context_len=65536, available_gpu_mem=3.25 GB
"""


def test_the_tightest_rank_and_the_fullest_one_are_taken() -> None:
    found = facts({}, TWO_RANKS)
    assert found.before_load_bytes == int(78.10 * GIB)  # not that of the draft, which comes later
    assert found.weight_bytes == int((67.56 + 1.58) * GIB)
    assert found.kv_bytes == int((2.5 + 1.0 + 0.25) * GIB)
    assert found.graph_bytes == int(2.0 * GIB)
    assert (found.window_tokens, found.kv_tokens, found.concurrency) == (7200, 9000, 48)
    assert found.free_bytes == int(3.25 * GIB)
    assert found.seconds == {"start": 3.2, "load": 7.0, "graphs": 24.0}


def test_data_parallel_ranks_serve_their_requests_side_by_side() -> None:
    usage = {
        "weight": 60.1,
        "startup_available": 5.5,
        "graph": {"prefill": 1.25, "decode": 0.5},
        "token_capacity_swa": 7,
    }
    states = [
        {"effective_max_running_requests_per_dp": 24, "memory_usage": usage},
        {"effective_max_running_requests_per_dp": 24, "memory_usage": usage | {"startup_available": 5.25}},
    ]
    found = facts({"internal_states": states, "max_running_requests": 64}, TWO_RANKS)
    assert found.concurrency == 48
    assert (found.free_bytes, found.graph_bytes) == (int(5.25 * GIB), int(1.75 * GIB))
    assert found.window_tokens == 7
    assert found.weight_bytes == int((67.56 + 1.58) * GIB)  # the route leaves the draft out


def test_the_route_gives_the_weights_where_there_is_no_draft() -> None:
    one = [line.replace(" TP0", "") for line in TWO_RANKS.splitlines() if "TP0" in line]
    info = {"internal_states": [{"memory_usage": {"weight": 67.561}}]}
    assert facts(info, "\n".join(one)).weight_bytes == int((67.56 + 1.58) * GIB)
    assert facts(info, "\n".join(line for line in one if "Draft" not in line)).weight_bytes == int(67.561 * GIB)


def test_states_of_linear_attention_are_counted() -> None:
    line = "Mamba Cache is allocated. max_mamba_cache_size: 186, conv_state size: 0.10GB, ssm_state size: 4.38GB"
    assert facts({}, line).state_slots == 186


RECORDS = json.loads((RECORDINGS / "sglang-startups.json").read_text(encoding="utf-8"))
FIELDS = (
    ("before_load_bytes", "avail_mem_before_load_gb"),
    ("graph_bytes", "cuda_graph_gb"),
    ("free_bytes", "available_gpu_mem_end_gb"),
    ("weight_bytes", "weight_mem_gb"),
    ("kv_bytes", "kv_gb"),
)


def checked(record: dict[str, Any]) -> int:
    """How many figures on record the log gives; each of them must be right."""
    log = "\n".join(record["lines"])
    found, agreed = facts({}, log), 0
    draft = log.count("Load weight end") > 1  # whoever kept the record left the draft model out
    for name, column in FIELDS if not draft else FIELDS[:3]:
        size, known = getattr(found, name), record[column]
        if size is not None and known is not None:
            assert size / GIB == pytest.approx(known, abs=0.011), f"{record['id']}: {name}"
            agreed += 1
    for value, column in ((found.kv_tokens, "kv_tokens"), (found.context, "context_len")):
        assert value in (None, record[column]), record["id"]
        agreed += value is not None
    return agreed


# a remark inside the line gives another rank's figure, or one pool of two
ODD = {"gemma4-e4b-gb10-bf16kv", "deepseek-v4-flash-base-8x96gb-mf088"}


def test_public_logs_give_the_figures_on_record() -> None:
    found = {record["id"]: checked(record) for record in RECORDS if record["id"] not in ODD}
    assert sum(found.values()) > 120
    assert found["qwen3.5-9b-tp2-24gb-2026-04"] == 7
    assert found["llama31-8b-docs-2025-01"] == 5  # of January 2025: no "mem usage", no free memory at the end


def test_a_capped_window_pool_is_the_smaller_one() -> None:
    log = (
        "[2026-11-23 12:00:00] Use sliding window memory pool. full_layer_tokens=11725000, swa_layer_tokens=9380000\n"
        "[2026-11-23 12:00:00] Use sliding window memory pool. full_layer_tokens=8192, swa_layer_tokens=6553\n"
    )
    assert facts({}, log).window_tokens == 6553
