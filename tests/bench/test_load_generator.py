"""The load generator against a mock that writes down the truth. ``make bench-bench`` prints the table.

The client has one core, the mock the other. Errors are differences between what was reported and when the mock really
wrote. SGLang's and vLLM's own clients run against the same mock where they are installed.
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

from tests.bench.load_clients import CLIENTS, MissingError
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


class Board:
    """The table that is printed at the end: what was asked for, what was found, and whether that is good enough."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str, str]] = []

    def bar(self, what: str, found: float, bar: float, unit: str) -> None:
        """``found`` may be as much as ``bar`` in either direction."""
        held = "holds" if abs(found) <= bar else "MISSED"
        self.lines.append(
            (what, f"{found:+.3f} {unit}" if unit == "ms wrong" else f"{found:.2f} {unit}", f"≤ {bar:g}", held)
        )

    def note(self, what: str, found: str) -> None:
        self.lines.append((what, found, "", ""))

    def show(self) -> None:
        barred = [line for line in self.lines if line[2]]
        widths = [max(len(line[column]) for line in barred) for column in range(4)]
        print("\n")
        for line in self.lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    made = Board()
    yield made
    made.show()


@pytest.mark.parametrize("streams", [64, 512])
def test_streams_at_a_pace(streams: int, tmp_path: Path, board: Board) -> None:
    truth = tmp_path / "truth.jsonl"
    count = 4 * streams
    with mock(truth) as url:
        data = bench(url, "-c", str(streams), "-n", str(count), "--input", "32", "--output", str(OUTPUT))
        bare = bare_reader(url, streams, count) if streams == 512 else None
    said = read(truth)
    real = Truth([one for one in said if len(one["written"]) == OUTPUT][: count + 8][-count:])
    proof, rate = data["self"], data["throughput"]["steady_output_tokens"] or 0
    board.note(
        f"{streams} streams",
        f"{rate:,.0f} tokens/s, truth TTFT {mean(real.ttft):.2f} ms, ITL p99 {at(real.itl, 99):.2f}",
    )
    for name, error in wrong({**data["ttft_ms"], "itl": data["itl_ms"]["p99"]}, real).items():
        board.bar(f"  {name}", error, BOUNDS[name], "ms wrong")
    if streams == 512:
        board.bar("  client CPU per token", proof["cpu_us_per_token"], 10, "µs")
        board.note("  a loop that only reads", f"{bare:.2f} µs on this machine now; one recvmsg {bare_read():.1f}")
    board.bar("  peak memory", proof["rss_mib"] * 2**20 / 1e6, 60 + 64 * data["tokens"]["output"] / 1e6, "MB")
    board.bar("  first request after", (min(one["arrived"] for one in said) - data["began"]) / 1e9, 0.3, "s")
    board.note(
        "  itself", f"valid {proof['valid']}, lag p99 {proof['client_lag_ms']['p99']:.2f} ms {proof['reasons'] or ''}"
    )
    assert data["requests"]["ok"] == count
    assert data["tokens"]["output"] == count * OUTPUT


def wrong(told: dict[str, float], real: Truth) -> dict[str, float]:
    """By how much a client's ``mean``, ``p99`` (of TTFT) and ``itl`` (p99) differ from the truth."""
    return {"ttft mean": told["mean"] - mean(real.ttft), "ttft p99": told["p99"] - at(real.ttft, 99),
            "itl p99": told["itl"] - at(real.itl, 99)}  # fmt: skip


@pytest.mark.parametrize("streams", [64, 512])
@pytest.mark.parametrize("client", CLIENTS)
def test_other_clients_on_the_same_load(client: str, streams: int, tmp_path: Path, board: Board) -> None:
    truth, count = tmp_path / "truth.jsonl", 4 * streams

    def pinned(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, preexec_fn=lambda: pin(1)
        )

    try:
        with mock(truth) as url:
            told = CLIENTS[client](url, streams, count, OUTPUT, tmp_path, pinned)
    except MissingError as missing:
        board.note(f"{client}, {streams} streams", str(missing))
        pytest.skip(str(missing))
    real = Truth([one for one in read(truth) if len(one["written"]) == OUTPUT][-count:])
    board.note(f"{client}, {streams} streams", "")
    errors = wrong({"mean": told["ttft mean"], "p99": told["ttft p99"], "itl": told["itl p99"]}, real)
    for name, error in errors.items():
        board.bar(f"  {name}", error, BOUNDS[name], "ms wrong")


def bare_reader(url: str, streams: int, count: int) -> float:
    """CPU µs per token of a loop that asks for the same and only reads: what Python cannot go below here and now."""
    command = [sys.executable, "-m", "tests.bench.bare_reader", url, str(streams), str(count), str(OUTPUT)]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=True, preexec_fn=lambda: pin(1))
    return float(done.stdout)


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


def test_a_poisson_schedule(tmp_path: Path, board: Board) -> None:
    truth = tmp_path / "truth.jsonl"
    with mock(truth, 20, 2) as url:
        data = bench(url, "--rate", "200", "-n", "1000", "--input", "32", "--output", "8", "--warmup", "0")
    arrived = sorted(one["arrived"] / 1e9 for one in read(truth) if len(one["written"]) == 8)[-1000:]
    gaps = sorted(later - sooner for sooner, later in pairwise(arrived))
    expected = mean(gaps)
    apart = max(abs((i + 1) / len(gaps) - (1 - math.exp(-gap / expected))) for i, gap in enumerate(gaps))
    board.note("Poisson, 200/s, N 1000", f"{1 / expected:.1f}/s arrived")
    board.bar("  lateness p99", data["self"]["schedule_lateness_ms"]["p99"], 0.5, "ms")
    board.bar("  Kolmogorov-Smirnov", apart, 0.034, "of the gaps that arrived")
    assert data["requests"]["ok"] == 1000


def test_failures(tmp_path: Path, board: Board) -> None:
    with mock(tmp_path / "truth.jsonl", 20, 1) as url:
        data = bench(url, "-c", "16", "-n", "500", "--model", "paced:faults=5", "--input", "32", "--output", "16")
    board.note("Injected failures", f"{data['requests']['failed']} of 100 reported, {data['requests']['by_cause']}")
    board.note("  tokens of the rest", f"{data['tokens']['output']} claimed, {400 * 16} sent")
    assert (data["requests"]["failed"], data["tokens"]["output"]) == (100, 6400)


@pytest.mark.parametrize("trap", ["role", "reasoning=64", "per_chunk=4", "comment", "late_usage", "joined_finish"])
def test_traps(trap: str, tmp_path: Path, board: Board) -> None:
    truth = tmp_path / "truth.jsonl"
    with mock(truth) as url:
        data = bench(url, "-c", "8", "-n", "24", "--model", f"paced:{trap}", "--input", "32", "--output", str(OUTPUT))
    real = Truth([one for one in read(truth) if sum(one["tokens"]) == OUTPUT][-24:])
    answer = f", first answer token {data['first_answer_ms']['mean']:.1f}" if data["first_answer_ms"] else ""
    board.note(
        trap,
        f"TTFT {data['ttft_ms']['mean']:.2f} (truth {mean(real.ttft):.2f}){answer}, "
        f"ITL {data['itl_ms']['p50']:.2f} per token, {data['chunk_gap_ms']['p50']:.2f} per chunk",
    )
    assert data["tokens"]["output"] == 24 * OUTPUT
    assert data["ttft_ms"]["mean"] == pytest.approx(mean(real.ttft), abs=5)
    assert data["itl_ms"]["mean"] == pytest.approx(10.0, abs=1)


def test_an_hour_is_flat(tmp_path: Path, board: Board) -> None:
    """Short answers as fast as they come. An hour at 10,000 a minute are 600,000; HOUR=1 asks for all of them."""
    counts = (5_000, 600_000) if os.environ.get("HOUR") else (5_000, 40_000)
    sizes, costs = [], []
    with mock(tmp_path / "truth.jsonl", 1, 0) as url:
        for count in counts:
            data = bench(url, "-c", "16", "-n", str(count), "--input", "16", "--output", "4", "--warmup", "0")
            assert data["requests"]["ok"] == count
            sizes.append(data["self"]["rss_mib"])
            costs.append(data["self"]["cpu_us_per_token"] * 4)
            board.note(f"{count:,} requests", f"{costs[-1]:.0f} µs CPU for each, {sizes[-1]:.0f} MiB")
    growth = (sizes[1] - sizes[0]) * 2**20 / (counts[1] - counts[0])
    board.bar("  memory for each further request", max(growth, 0), 256, "bytes (4 tokens)")
    board.bar("  CPU per request, long over short", costs[1] / costs[0], 1.15, "times")
