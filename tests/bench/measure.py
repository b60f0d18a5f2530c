"""Measuring whole processes: CPU time by resource usage, and time to the first answer."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def cpu_seconds(argv: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """User + system time of one run, its children included."""
    with Path(os.devnull).open("w") as null:
        child = subprocess.Popen(argv, stdout=null, stderr=null, stdin=subprocess.DEVNULL, env=env)
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
    return usage.ru_utime + usage.ru_stime


def interleaved(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each case, all cases run in turn so that a noisy machine is noisy to all of them."""
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            seen[name].append(case())
    return {name: statistics.median(values) for name, values in seen.items()}


def answers(url: str, model: str) -> bool:
    """Whether a chat completion of one token comes back now."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def seconds_to_first_answer(argv: Sequence[str], url: str, model: str, env: Mapping[str, str], timeout: float) -> float:
    """Start a server's process, wait for its first completion, end it; seconds from start to completion."""
    began = time.monotonic()
    with subprocess.Popen(
        argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:  # fmt: skip
        try:
            while not answers(url, model):
                assert child.poll() is None, f"{argv} ended with {child.returncode}"
                assert time.monotonic() - began < timeout
                time.sleep(0.01)
            return time.monotonic() - began
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
