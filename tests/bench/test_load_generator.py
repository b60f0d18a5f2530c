"""The load generator against a mock that writes down the truth. ``make bench-bench`` prints the table.

The client has one core, the mock the other. Errors are differences between what was reported and when the mock really
wrote. Where SGLang's own client is installed it runs against the same mock.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.paced_process import TREE

LLMSERVE = str(Path(sys.executable).with_name("llmserve"))
TTFT, ITL, OUTPUT = 100.0, 10.0, 128
BOUNDS = {"ttft mean": 0.5, "ttft p99": 1.0, "itl p99": 0.2}


@dataclass(frozen=True)
class Truth:
    """What the mock wrote for the requests that were measured."""

    answers: Sequence[dict[str, Any]]

    @property
    def ttft(self) -> list[float]:
        return sorted((one["written"][0] - one["arrived"]) / 1e6 for one in self.answers)

    @property
    def itl(self) -> list[float]:
        return sorted((b - a) / 1e6 for one in self.answers for a, b in pairwise(one["written"]))


@contextmanager
def mock(truth: Path, ttft: float = TTFT, itl: float = ITL) -> Iterator[str]:
    """On the first core, ahead of everything else where that is allowed: its lateness would be everybody's error."""
    command = [sys.executable, "-m", "tests.fakes.paced", "--ttft", str(ttft), "--itl", str(itl), "--truth", str(truth)]
    with subprocess.Popen(command, cwd=TREE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: pin(0)) as process:
        assert process.stdout
        try:
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(40))
        except PermissionError:
            print("(the mock runs without real-time priority)")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(60)


def pin(core: int) -> None:
    os.sched_setaffinity(0, {core})
    os.setsid()
    try:  # what else this machine does is neither the client's error nor the mock's
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(30))
    except PermissionError:
        return


def bench(url: str, *args: str) -> dict[str, Any]:
    began = time.time_ns()
    command = [LLMSERVE, "bench", "--base-url", url, *args, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=lambda: pin(1))
    body: dict[str, Any] = json.loads(done.stdout)
    return {**body["data"], "began": began}


def read(truth: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in truth.read_text().splitlines()]


def at(ordered: Sequence[float], q: float) -> float:
    return ordered[max(0, math.ceil(q / 100 * len(ordered) - 1e-9) - 1)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("streams", [64, 512])
def test_streams_at_a_pace(streams: int, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    count = 4 * streams
    with mock(truth) as url:
        data = bench(url, "-c", str(streams), "-n", str(count), "--input", "32", "--output", str(OUTPUT))
    said = read(truth)
    real = Truth([one for one in said if len(one["written"]) == OUTPUT][-count:])
    errors = {
        "ttft mean": data["ttft_ms"]["mean"] - mean(real.ttft),
        "ttft p99": data["ttft_ms"]["p99"] - at(real.ttft, 99),
        "itl p99": data["itl_ms"]["p99"] - at(real.itl, 99),
    }
    proof = data["self"]
    first = (min(one["arrived"] for one in said) - data["began"]) / 1e9
    print(f"\n{streams} streams, {data['throughput']['steady_output_tokens'] or 0:,.0f} tokens/s, one core")
    print(
        f"  truth    TTFT {mean(real.ttft):.2f} mean, {at(real.ttft, 99):.2f} p99; ITL {at(real.itl, 99):.2f} p99 (ms)"
    )
    for name, error in errors.items():
        print(f"  {name:<10} {error:+.3f} ms wrong (bound {BOUNDS[name]})")
    print(f"  client CPU {proof['cpu_us_per_token']:.1f} µs/token, a bare recvmsg {bare_read():.1f} µs (bound 10)")
    kept = 60 + 64 * data["tokens"]["output"] / 2**20
    print(f"  memory     {proof['rss_mib']:.0f} MiB (bound {kept:.0f})")
    print(f"  first request {first:.2f} s after the command (bound 0.3)")
    print(f"  self       valid {proof['valid']}, lag p99 {proof['client_lag_ms']['p99']:.2f} ms, {proof['reasons']}")
    assert data["requests"]["ok"] == count
    assert data["tokens"]["output"] == count * OUTPUT


@pytest.mark.parametrize("streams", [64, 512])
def test_sglangs_own_client_on_the_same_load(streams: int, tmp_path: Path) -> None:
    """The Rust client of SGLang's wheel, if `llmserve engine install sglang` has brought it."""
    from llmserve.engine import engines
    from llmserve.models.builtin import build

    environment = engines()["sglang"].environment()
    if environment is None:
        pytest.skip("SGLang is not installed")
    truth, saved, count = tmp_path / "truth.jsonl", tmp_path / "rust.jsonl", 4 * streams
    with mock(truth) as url:
        command = [
            str(environment.python), "-m", "sglang.benchmark.rust_client", "--backend", "sglang-oai-chat",
            "--base-url", url.removesuffix("/v1"), "--model", "paced", "--dataset-name", "random-ids",
            "--random-input-len", "32", "--random-output-len", str(OUTPUT), "--random-range-ratio", "1.0",
            "--num-prompts", str(count), "--max-concurrency", str(streams), "--disable-tqdm",
            "--tokenizer", str(build("safetensors")), "--output-file", str(saved),
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, preexec_fn=lambda: pin(1)
        )
    if done.returncode:
        pytest.skip(f"SGLang's client does not run here: {done.stderr[-200:]}")
    told = json.loads(saved.read_text().splitlines()[-1])
    real = Truth([one for one in read(truth) if len(one["written"]) == OUTPUT][-count:])
    print(
        f"\nSGLang's Rust client, {streams} streams: mean TTFT {told['mean_ttft_ms'] - mean(real.ttft):+.3f} ms wrong,"
    )
    print(
        f"  {told['p99_ttft_ms'] - at(real.ttft, 99):+.3f} in p99; ITL p99 {told['p99_itl_ms'] - at(real.itl, 99):+.3f}"
    )


def bare_read() -> float:
    """CPU µs of one recvmsg of a waiting chunk on this machine right now: what no client can go below."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        pairs = [(socket.create_connection(listener.getsockname()), listener.accept()[0]) for _ in range(64)]
    spent, rounds = 0.0, 40
    for _ in range(rounds):
        for ours, _ in pairs:
            ours.send(b"x" * 200)
        began = resource.getrusage(resource.RUSAGE_SELF)
        for _, theirs in pairs:
            theirs.recvmsg(16384, 32)
        ended = resource.getrusage(resource.RUSAGE_SELF)
        spent += ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    for one in (sock for pair in pairs for sock in pair):
        one.close()
    return spent / rounds / len(pairs) * 1e6


def test_a_poisson_schedule(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with mock(truth, 20, 2) as url:
        data = bench(url, "--rate", "200", "-n", "1000", "--input", "32", "--output", "8", "--warmup", "0")
    arrived = sorted(one["arrived"] / 1e9 for one in read(truth) if len(one["written"]) == 8)[-1000:]
    gaps = sorted(later - sooner for sooner, later in pairwise(arrived))
    expected = mean(gaps)
    apart = max(abs((i + 1) / len(gaps) - (1 - math.exp(-gap / expected))) for i, gap in enumerate(gaps))
    late = data["self"]["schedule_lateness_ms"]
    print(f"\nPoisson, 200/s, N 1000: {1 / expected:.1f}/s arrived, KS {apart:.3f} (bound 0.034),")
    print(f"  lateness {late['p50']:.3f} ms p50, {late['p99']:.3f} ms p99 (bound 0.5), {late['max']:.1f} max")
    assert data["requests"]["ok"] == 1000


def test_failures(tmp_path: Path) -> None:
    with mock(tmp_path / "truth.jsonl", 20, 1) as url:
        data = bench(url, "-c", "16", "-n", "500", "--model", "paced:faults=5", "--input", "32", "--output", "16")
    print(f"\nInjected failures reported: {data['requests']['failed']} of 100, {data['requests']['by_cause']}")
    print(f"  tokens of the rest: {data['tokens']['output']} claimed, {400 * 16} sent")
    assert (data["requests"]["failed"], data["tokens"]["output"]) == (100, 6400)


@pytest.mark.parametrize("trap", ["role", "reasoning=64", "per_chunk=4", "comment", "late_usage"])
def test_traps(trap: str, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with mock(truth) as url:
        data = bench(url, "-c", "8", "-n", "24", "--model", f"paced:{trap}", "--input", "32", "--output", str(OUTPUT))
    real = Truth([one for one in read(truth) if sum(one["tokens"]) == OUTPUT][-24:])
    answer = f", first answer token {data['first_answer_ms']['mean']:.1f}" if data["first_answer_ms"] else ""
    print(
        f"\n{trap:<14} TTFT {data['ttft_ms']['mean']:.2f} (truth {mean(real.ttft):.2f}){answer}, "
        f"ITL {data['itl_ms']['p50']:.2f} per token, {data['chunk_gap_ms']['p50']:.2f} per chunk"
    )
    assert data["tokens"]["output"] == 24 * OUTPUT
    assert data["ttft_ms"]["mean"] == pytest.approx(mean(real.ttft), abs=5)
    assert data["itl_ms"]["mean"] == pytest.approx(10.0, abs=1)


def test_a_long_run_is_flat(tmp_path: Path) -> None:
    """Short answers as fast as they come: memory and CPU per request of the second half against those of the first."""
    with mock(tmp_path / "truth.jsonl", 1, 0) as url:
        sizes, costs = [], []
        for count in (5_000, 20_000):
            began = resource.getrusage(resource.RUSAGE_CHILDREN)
            data = bench(url, "-c", "16", "-n", str(count), "--input", "16", "--output", "4", "--warmup", "0")
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
            assert data["requests"]["ok"] == count
            sizes.append(data["self"]["rss_mib"])
            costs.append(data["self"]["cpu_us_per_token"] * 4)
            print(
                f"\n{count} requests: {costs[-1]:.0f} µs CPU each in the loop, {cpu:.1f} s in all, {sizes[-1]:.0f} MiB"
            )
    growth = (sizes[1] - sizes[0]) * 2**20 / 15_000
    print(f"  {growth:.0f} bytes more for each further request")
