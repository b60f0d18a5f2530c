"""``llmserve pull`` against ``hf download``: the same snapshots, the same hub, in turn. ``make bench`` prints a table.

The hub runs in a process of its own. Shards are of zeros that nobody stores; they are hashed truly, and llmserve
checks the hashes, which the other does not.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.fakes.hub import Content, FakeHub, Hollow, Repo

SHARDS, SHARD_BYTES = 4, 500 * 1000**2
SMALL = 2000
ROUNDS = int(os.environ.get("LLMSERVE_BENCH_ROUNDS", "5"))

THROUGHPUT, MEMORY, CPU, WARM = 0.98, 1.2, 1.1, 0.5
"""Bars: at least so much of the other's throughput, at most so much of its peak memory, CPU time and warm time."""


def large() -> dict[str, Content]:
    names = [f"model-{number + 1:05d}-of-{SHARDS:05d}.safetensors" for number in range(SHARDS)]
    index = {"metadata": {}, "weight_map": {f"layers.{number}": name for number, name in enumerate(names)}}
    shards: dict[str, Content] = {name: _shard(number) for number, name in enumerate(names)}
    return shards | _companions() | {"model.safetensors.index.json": json.dumps(index).encode()}


def small() -> dict[str, Content]:
    pieces: dict[str, Content] = {f"pieces/{number:04d}.json": b'{"n": %d}' % number * 50 for number in range(SMALL)}
    return pieces | _companions() | {"model.safetensors": b"\2\0\0\0\0\0\0\0{}"}


def _companions() -> dict[str, Content]:
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16"}
    return {"config.json": json.dumps(config).encode(), "tokenizer.json": b"{}", "tokenizer_config.json": b"{}"}


def _shard(number: int) -> Hollow:
    header = {f"layers.{number}": {"dtype": "U8", "shape": [SHARD_BYTES], "data_offsets": [0, SHARD_BYTES]}}
    text = json.dumps(header).encode()
    return Hollow(struct.pack("<Q", len(text)) + text, 8 + len(text) + SHARD_BYTES, hashed=True)


COMMANDS = {
    "llmserve pull": ("llmserve", "pull", "REPO", "-y", "--include", "*"),
    "hf download": ("hf", "download", "REPO"),
}
REPOS: dict[str, Callable[[], dict[str, Content]]] = {"org/large": large, "org/small": small}


def serve(pipe: Connection) -> None:
    repos = {name: Repo(files()) for name, files in REPOS.items()}
    for repo in repos.values():
        assert repo.about  # hashed before anybody waits for it
    with FakeHub(repos) as hub:
        pipe.send(hub.url)
        pipe.recv()


@contextmanager
def running() -> Iterator[str]:
    """A hub, by its address."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        here.send(False)
        process.join(10)


WATCH = """
import json, os, sys, time
begun = time.perf_counter()
null = os.open(os.devnull, os.O_WRONLY)
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
_, status, usage = os.wait4(child, 0)
if status:
    sys.exit(f"ended with {status}")
print(json.dumps([time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""
"""A small process in between: a child's peak of memory begins with that of the process from which it was forked."""


@dataclass(frozen=True)
class Cost:
    seconds: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Client:
    """A command line that fetches; ``folder`` becomes its cache."""

    argv: tuple[str, ...]
    folder: Path
    url: str

    def run(self, repo: str, *, warm: bool = False) -> Cost:
        """Wall-clock and CPU seconds, and the peak of memory in bytes; without ``warm`` into an empty cache."""
        if not warm:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        env: Mapping[str, str] = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        }  # fmt: skip
        argv = [word.replace("REPO", repo) for word in self.argv]
        watched = [sys.executable, "-I", "-S", "-c", WATCH, *argv]
        done = subprocess.run(watched, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, f"{argv}: {done.stderr[-500:]}"
        return Cost(*json.loads(done.stdout))


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Client]]:
    bin_ = Path(sys.executable).parent
    folder = tmp_path_factory.mktemp("pull")
    with running() as url:
        yield {name: Client((str(bin_ / argv[0]), *argv[1:]), folder / argv[0], url) for name, argv in COMMANDS.items()}
    shutil.rmtree(folder, ignore_errors=True)


def measured(cases: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, Cost]:
    """Medians, all cases in turn, so that a noisy machine is noisy to all of them."""
    seen: dict[str, list[Cost]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            seen[name].append(case())
    return {name: _median(costs) for name, costs in seen.items()}


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, field) for cost in costs) for field in ("seconds", "cpu", "memory")))


def report(title: str, found: Mapping[str, Cost]) -> tuple[Cost, Cost]:
    ours, theirs = found["llmserve pull"], found["hf download"]
    print(f"\n{title}, medians of {ROUNDS}")
    for name, cost in found.items():
        print(f"  {name:<14} {cost.seconds:6.2f} s  {cost.cpu:6.2f} s CPU  {cost.memory / 1e6:6.0f} MB")
    speed, cpu, memory = theirs.seconds / ours.seconds, ours.cpu / theirs.cpu, ours.memory / theirs.memory
    print(f"  ratio          {speed:5.2f} × the throughput, {cpu:.2f} × the CPU time, {memory:.2f} × the memory")
    return ours, theirs


@pytest.mark.parametrize(("repo", "what"), [("org/large", "2 GB in 4 shards"), ("org/small", f"{SMALL:,} small files")])
def test_fetching(clients: dict[str, Client], repo: str, what: str) -> None:
    cases = {name: partial(client.run, repo) for name, client in clients.items()}
    ours, theirs = report(what, measured(cases, ROUNDS))
    assert theirs.seconds / ours.seconds >= THROUGHPUT
    assert ours.memory / theirs.memory <= MEMORY
    assert ours.cpu / theirs.cpu <= CPU


@pytest.mark.parametrize("repo", ["org/large", "org/small"])
def test_nothing_to_fetch(clients: dict[str, Client], repo: str) -> None:
    for client in clients.values():
        client.run(repo)
    cases = {name: partial(client.run, repo, warm=True) for name, client in clients.items()}
    ours, theirs = report(f"{repo}, all cached", measured(cases, 2 * ROUNDS))
    assert ours.seconds / theirs.seconds <= WARM
