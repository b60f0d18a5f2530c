from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmserve.engine.base import Failure
from llmserve.engine.sglang import SGLang
from llmserve.engine.sglang.failures import RULES

RECORDINGS = Path("tests/recordings")
engine = SGLang()


def cause(lines: list[str]) -> Failure | None:
    """The weightiest finding, the first of equals: as the server's log reader decides."""
    best = None
    for line in lines:
        found = engine.failure(line.strip())
        if found and (best is None or found.rank > best.rank):
            best = found
    return best


def recorded(name: str) -> list[str]:
    text = (RECORDINGS / "sglang-0.5.23-cpu" / f"{name}.log").read_text(encoding="utf-8")
    return text.replace("\r", "\n").splitlines()


@pytest.mark.parametrize(
    ("name", "code", "exit_code", "message"),
    [
        ("bad_flag", "bad_flag", 2, "This version of SGLang has no flag --no-such-flag."),
        ("ambiguous_flag", "bad_flag", 2, "--enable-d could be several of SGLang's flags, --enable-dynamic-chunking"),
        ("no_model", "bad_flag", 2, "SGLang misses something: the following arguments are required: --model-path/"),
        ("bad_value", "bad_value", 2, "SGLang refuses 'nonsense' for --attention-backend."),
        ("bad_number", "bad_value", 2, "SGLang refuses --max-running-requests: invalid int value: 'many'."),
        ("context_too_long", "context_too_long", 2, "The model was made for 2048 tokens of context; 1000000 were"),
        ("bad_model", "no_model", 2, "There is no model at /models/no-such-model."),
        ("foreign_host", "bad_address", 2, "SGLang cannot reach itself at 203.0.113.7"),
        ("offline", "not_downloaded", 6, "SGLang wants a file that is not on this disk"),
        ("mem_fraction_tiny", "no_memory_for_cache", 3, "--mem-fraction-static is 0.01, more than 0.025 is needed."),
        ("port_in_use", "port_in_use", 1, "Another program took port 31002 on 127.0.0.1 while the model was loading."),
        ("noengine", "engine_incomplete", 6, "it lacks the CPU platform that llmserve adds."),
        ("first", "engine_incomplete", 6, "it lacks the CPU platform that llmserve adds."),
        ("amx_default", "worker_killed", 6, "A worker of SGLang was killed"),
        ("truncated_weights", "broken_checkpoint", 6, "truncated: Error while deserializing header: incomplete meta"),
        ("bad_header", "broken_checkpoint", 6, "Error while deserializing header: header too large."),
        ("missing_weights", "missing_weights", 6, "There are no weights in /models/noweights."),
        ("missing_shard", "missing_weights", 6, "missing: 1, among them model-00002-of-00002.safetensors."),
        ("missing_tokenizer", "missing_tokenizer", 6, "The model has no tokenizer that SGLang can load."),
        ("missing_config", "missing_config", 6, "The model has no config.json that names its type."),
        ("broken_config", "broken_config", 6, "/models/badjson/config.json is not valid JSON."),
        ("unknown_architecture", "unsupported_architecture", 6, "does not know the architecture FooBarForCausalLM."),
        ("unknown_model_type", "unsupported_architecture", 6, "SGLang does not know models of type foobar."),
        ("wrong_shapes", "engine_error", 6, "SGLang ended with RuntimeError: The size of tensor a (128) must match"),
    ],
)
def test_a_recorded_failure_is_explained(name: str, code: str, exit_code: int, message: str) -> None:
    found = cause(recorded(name))
    assert found
    assert (found.code, found.exit_code) == (code, exit_code)
    assert message in found.message


@pytest.mark.parametrize("name", ["clean_sigterm", "clean_sigint_group", "served", "served_with_key"])
def test_a_recorded_success_has_no_cause_of_failure(name: str) -> None:
    assert cause(recorded(name)) is None


@pytest.mark.parametrize(
    ("line", "code", "exit_code", "message"),
    [
        (
            (
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 442.00 MiB. GPU 0 has a total "
                "capacity of 44.53 GiB of which 260.75 MiB is free."
            ),
            "gpu_out_of_memory",
            3,
            "GPU 0 ran out of memory: 442.00 MiB more were asked for, 260.75 MiB of 44.53 GiB were free.",
        ),
        (
            (
                "Exception: Capture cuda graph failed: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a "
                "total capacity of 44.53 GiB of which 6.75 MiB is free."
            ),
            "no_memory_for_graphs",
            3,
            "GPU memory ran out while CUDA graphs were captured",
        ),
        (
            "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
            "no_memory_for_cache",
            3,
            "The weights leave no memory for the KV cache.",
        ),
        (
            (
                "RuntimeError: [enforce fail] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 137438953472 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "host_out_of_memory",
            3,
            "137438953472 bytes more were asked for.",
        ),
        (
            (
                "RuntimeError: The memory capacity is unbalanced. Some GPUs may be occupied by other processes. "
                "pre_model_load_memory=12.1, local_gpu_memory=78.4"
            ),
            "gpus_uneven",
            3,
            "The chosen GPUs differ",
        ),
        (
            "huggingface_hub.errors.GatedRepoError: 401 Client Error.",
            "needs_access",
            4,
            "The model is gated or private",
        ),
        (
            "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: x",
            "unsupported_architecture",
            6,
            "SGLang does not know the architecture FooForCausalLM.",
        ),
        (
            (
                "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 80. "
                "Current capability: 75."
            ),
            "unsupported_gpu",
            6,
            "This GPU (capability 75) cannot run fp8 weights, which need 80.",
        ),
        (
            "ERROR:    [Errno 99] error while attempting to bind on address ('10.9.8.7', 30000): cannot assign",
            "bad_address",
            2,
            "This machine has no address 10.9.8.7.",
        ),
        (
            "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:94, unhandled system error",
            "gpu_communication",
            6,
            "The GPUs cannot talk to each other (DistBackendError).",
        ),
        (
            "RuntimeError: Rank 0 scheduler died during initialization (exit code: -9). If exit code is -9 (SIGKILL)",
            "worker_killed",
            6,
            "A worker of SGLang was killed",
        ),
        (
            "ModuleNotFoundError: No module named 'flashinfer'",
            "engine_incomplete",
            6,
            "The engine's environment lacks the package flashinfer.",
        ),
    ],
)
def test_a_known_line_is_explained(line: str, code: str, exit_code: int, message: str) -> None:
    found = engine.failure(line)
    assert found
    assert (found.code, found.exit_code) == (code, exit_code)
    assert message in found.message


def test_a_cause_beats_its_consequences() -> None:
    lines = [
        "[2026-11-22 22:17:48 TP0] Scheduler hit an exception: Traceback (most recent call last):",
        "KeyError: 'x'",
        "During handling of the above exception, another exception occurred:",
        "RuntimeError: something only SGLang knows",
        "[2026-11-22 22:17:48] Received sigquit from a child process. It usually means the child failed.",
        "[2026-11-22 22:17:49] Subprocess scheduler_0 (pid=28003) crashed with exit code -3. Triggering SIGQUIT",
    ]
    found = cause(lines)
    assert found
    assert found.message == "SGLang ended with RuntimeError: something only SGLang knows."
    assert cause([*lines[:1], *lines[4:]]) == engine.failure(lines[5])
    assert cause(lines[:1]) == engine.failure("Received sigquit from a child process.")


def test_source_code_in_a_traceback_is_no_finding() -> None:
    """Python prints the raising line with its placeholders unfilled, just before the real message."""
    assert engine.failure("raise OSError(f\"the config file at '{resolved}' is not a valid JSON file.\")") is None
    assert engine.failure('f"Cannot find any model weights with `{model_name_or_path}`"') is None
    assert engine.failure("ValueError: it ends with a full stop.") == engine.failure(
        "ValueError: it ends with a full stop"
    )
    assert engine.failure('msg = "Not enough memory. Please try to increase --mem-fraction-static."') is None


def test_a_sentence_ends_once() -> None:
    found = engine.failure("ValueError: it has a full stop.")
    assert found
    assert found.message == "SGLang ended with ValueError: it has a full stop."


def test_a_busy_server_and_skipped_models_are_no_failures() -> None:
    assert engine.failure('[2026-11-22 22:28:16] INFO:     127.0.0.1:44910 - "POST /x?Error: HTTP/1.1" 500') is None
    assert engine.failure("Ignore import error when loading sglang.srt.models.x: No module named 'vllm'") is None


def test_public_logs_find_a_cause_only_where_the_start_failed() -> None:
    records = json.loads((RECORDINGS / "sglang-startups.json").read_text(encoding="utf-8"))
    for record in records:
        found = cause(record["lines"])
        assert (found is not None and found.exit_code == 3) == (record["outcome"] == "fail"), record["id"]


@pytest.mark.parametrize(
    ("code", "name", "exit_code"),
    [
        (2, "bad_flag", 2),
        (3, "port_in_use", 1),
        (1, "engine_error", 6),
        (-9, "killed", 6),
        (137, "killed", 6),
        (-15, "stopped", 6),
        (-11, "crashed", 6),
        (-4, "unsupported_cpu", 6),
        (-7, "shared_memory_full", 3),
        (130, "interrupted", 130),
        (-6, "killed", 6),
    ],
)
def test_an_exit_code_alone_says_something(code: int, name: str, exit_code: int) -> None:
    found = engine.exit_failure(code)
    assert found
    assert (found.code, found.exit_code) == (name, exit_code)


def test_a_normal_end_is_no_failure() -> None:
    assert engine.exit_failure(0) is None


def test_every_rule_speaks_in_sentences() -> None:
    for rule in RULES:
        assert rule.message.endswith((".", "}."))
        assert rule.hint.endswith((".", "`.")), rule.hint
