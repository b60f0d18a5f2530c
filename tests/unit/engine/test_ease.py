"""The one flag that a second attempt changes after a start for which memory was missing."""

from __future__ import annotations

import pytest

from llmserve.engine import engines
from llmserve.engine.base import Failure
from llmserve.engine.ease import applied

ARGV = (
    "python", "-m", "sglang.launch_server", "--mem-fraction-static", "0.900", "--max-running-requests", "64",
    "--cuda-graph-max-bs-decode", "64", "--max-total-tokens", "8192",
)  # fmt: skip


def changed(line: str, stage: str, *, engine: str = "sglang", argv: tuple[str, ...] = ARGV, kept: str = "") -> str:
    """``flag value`` for a line that the engine logs in ``stage``; empty where nothing is changed."""
    one = engines()[engine]
    failure = one.failure(line)
    assert isinstance(failure, Failure), line
    found = one.ease(argv, failure, stage, kept=tuple(kept.split()))
    return f"{found.flag} {found.after}" if found else ""


LEAST = (
    "ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.9. "
    "Raise --mem-fraction-static above {}"
)
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.mark.parametrize(
    ("line", "stage", "expected"),
    [
        (LEAST.format("0.912"), "load", "--mem-fraction-static 0.937"),
        (LEAST.format("0.94"), "load", ""),
        (
            "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static",
            "load",
            "--mem-fraction-static 0.950",
        ),
        ("Exception: Capture cuda graph failed: CUDA out of memory", "graphs", "--cuda-graph-max-bs-decode 32"),
        (OOM, "graphs", "--mem-fraction-static 0.850"),
        (OOM, "load", ""),
        ("RuntimeError: Not enough GPU memory for hybrid state", "kv_cache", "--max-running-requests 32"),
        (
            "RuntimeError: DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes",
            "kv_cache",
            "--max-total-tokens 4096",
        ),
        ("RuntimeError: NCCL error: unhandled system error", "start", ""),
    ],
)
def test_sglang(line: str, stage: str, expected: str) -> None:
    assert changed(line, stage) == expected


def test_llama_cpp_gets_half_of_its_context() -> None:
    line = "E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache"
    assert changed(line, "load", engine="llamacpp", argv=("x", "--ctx-size", "8192")) == "--ctx-size 4096"
    assert changed(line, "load", engine="llamacpp", argv=("x", "--ctx-size", "512")) == ""
    assert changed(line, "load", engine="llamacpp", argv=("x",)) == ""


def test_what_the_user_set_stays() -> None:
    assert changed(OOM, "graphs", kept="--mem_fraction_static=0.9") == ""


def test_the_change_is_made_in_its_place() -> None:
    failure = engines()["sglang"].failure(OOM)
    assert failure
    change = engines()["sglang"].ease(ARGV, failure, "graphs", kept=())
    assert change
    assert (change.before, change.because) == ("0.900", "A GPU ran out of memory.")
    assert applied(ARGV, change) == (*ARGV[:4], "0.850", *ARGV[5:])
    assert applied(("x",), change) == ("x", "--mem-fraction-static", "0.850")
