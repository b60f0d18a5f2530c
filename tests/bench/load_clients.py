"""Other people's load generators on the same mock: what they reported, where they are installed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.paced_process import TREE

__all__ = ["CLIENTS", "MissingError"]

Run = Callable[[list[str], Path], subprocess.CompletedProcess[str]]


class MissingError(Exception):
    """It is not installed, or does not run here; the message says so."""


def rust(url: str, streams: int, count: int, output: int, folder: Path, run: Run) -> dict[str, float]:
    """The Rust client of SGLang's wheel, if ``llmserve engine install sglang`` has brought it."""
    from llmserve.engine import engines
    from llmserve.models.builtin import build

    environment = engines()["sglang"].environment()
    if environment is None:
        raise MissingError("SGLang is not installed")
    saved = folder / "rust.jsonl"
    command = [
        str(environment.python), "-m", "sglang.benchmark.rust_client", "--backend", "sglang-oai-chat",
        "--base-url", url.removesuffix("/v1"), "--model", "paced", "--dataset-name", "random-ids",
        "--random-input-len", "32", "--random-output-len", str(output), "--random-range-ratio", "1.0",
        "--num-prompts", str(count), "--max-concurrency", str(streams), "--disable-tqdm",
        "--tokenizer", str(build("safetensors")), "--output-file", str(saved),
    ]  # fmt: skip
    _ran(run(command, folder))
    return _figures(json.loads(saved.read_text().splitlines()[-1]))


def vllm(url: str, streams: int, count: int, output: int, folder: Path, run: Run) -> dict[str, float]:
    """``vllm bench serve``, if ``make peers`` has brought it."""
    from llmserve.models.builtin import build

    program = TREE / ".venv" / "peers" / "vllm" / "bin" / "vllm"
    if not program.exists():
        raise MissingError("vLLM is not installed")
    command = [
        str(program), "bench", "serve", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions",
        "--base-url", url.removesuffix("/v1"), "--model", "paced", "--tokenizer", str(build("safetensors")),
        "--dataset-name", "random", "--random-input-len", "32", "--random-output-len", str(output),
        "--num-prompts", str(count), "--max-concurrency", str(streams), "--ignore-eos", "--disable-tqdm",
        "--percentile-metrics", "ttft,itl", "--metric-percentiles", "99", "--save-result",
        "--result-dir", str(folder), "--result-filename", "vllm.json",
    ]  # fmt: skip
    _ran(run(command, folder))
    return _figures(json.loads((folder / "vllm.json").read_text()))


def _figures(told: dict[str, Any]) -> dict[str, float]:
    return {"ttft mean": told["mean_ttft_ms"], "ttft p99": told["p99_ttft_ms"], "itl p99": told["p99_itl_ms"]}


def _ran(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise MissingError(f"it does not run here: {done.stderr[-200:]}")


CLIENTS = {"SGLang's Rust client": rust, "vllm bench serve": vllm}
