"""Time to describe a checkpoint of 163 files on a hub whose every answer takes 50 ms. ``make bench`` prints it."""

from __future__ import annotations

import multiprocessing
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest

from llmserve.models.hub import api as hub_api
from tests.bench import large_checkpoint
from tests.fakes.hub import FakeHub, Repo

LATENCY = 0.05
BOUND = 1.5
ROUNDS = 5
REF = "deepseek/671b"

SCRIPT = """
import sys, time
from llmserve.models import describe, resolve
from llmserve.models.hub import api as hub_api
hub_api.AT_ONCE = int(sys.argv[2])
candidate = resolve(sys.argv[1])
began, cpu = time.perf_counter(), time.process_time()
model = describe(candidate, "safetensors")
print(time.perf_counter() - began, time.process_time() - cpu, model.weight_bytes, len(model.files))
"""
"""A process of its own: what the hub's client needs to be imported counts, the start of Python does not."""


def serve(pipe: Connection) -> None:
    """A hub in a process of its own, so that it does not take turns with the one that is measured."""
    with FakeHub({REF: Repo(large_checkpoint.files())}, latency=LATENCY) as hub:
        pipe.send(hub.url)
        while pipe.recv():
            pipe.send((len(hub.requests), hub.opened, sum(hub.served.values())))


@contextmanager
def running() -> Iterator[tuple[str, Connection]]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv(), here
    finally:
        here.send(False)
        process.join(10)


def described(url: str, at_once: int, folder: str) -> tuple[float, float, int, int]:
    env = {"HF_ENDPOINT": url, "HOME": folder, "HF_HUB_DISABLE_TELEMETRY": "1", "PATH": ""}
    argv = [sys.executable, "-c", SCRIPT, REF, str(at_once)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    seconds, cpu, weights, files = done.stdout.split()
    return float(seconds), float(cpu), int(weights), int(files)


def test_a_checkpoint_of_163_files_is_described_in_1_5_s(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(tmp_path_factory.mktemp("home"))
    with running() as (url, hub):
        runs = [described(url, hub_api.AT_ONCE, folder) for _ in range(ROUNDS)]
        hub.send(True)
        requests, opened, sent = (number / ROUNDS for number in hub.recv())
        alone = described(url, 1, folder)
    seconds, cpu = (statistics.median(run[place] for run in runs) for place in (0, 1))
    slowest = max(run[0] for run in runs)
    print(f"\n{len(list(large_checkpoint.tensors())):,} tensors in {large_checkpoint.SHARDS} files, 50 ms per answer")
    print(
        f"  at the same time  {seconds:6.2f} s (bound {BOUND} s; slowest of {ROUNDS}: {slowest:.2f} s), {cpu:.2f} s CPU"
    )
    print(f"                    {requests:.0f} requests, {opened:.0f} connections, {sent / 1e6:.1f} MB")
    print(f"  one by one        {alone[0]:6.2f} s, {alone[0] / seconds:.0f} × as long")
    assert {run[2] for run in (*runs, alone)} == {large_checkpoint.total_bytes()}
    assert seconds <= BOUND
