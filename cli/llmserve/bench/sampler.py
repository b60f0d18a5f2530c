"""A process of its own that reads ``/metrics`` and the GPUs once a second, so that reading costs the loop nothing.

    python -m llmserve.bench.sampler

reads a line with the endpoint and answers ``ready`` or ``none``; a second line asks for the reading from which it
counts, which it answers with ``marked``; when its standard input ends it writes what it saw. Times are of the monotonic
clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmserve.bench.records import Serving
from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.url import is_loopback

__all__ = ["Sampler", "sampling"]

EVERY_S = 1.0
READY_S = 6.0
ENDS_S = 10.0
_GAUGES = ("running", "queued", "kv_usage")


class Sampler:
    """The parent's side. Without ``/metrics`` there is nothing to read, and ``serving`` is None."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._found = False

    def mark(self) -> None:
        """Wait for the reading from which the server's counts are taken: it must be older than the load."""
        assert self._process.stdin
        if self._says("ready"):
            self._process.stdin.write("mark\n")
            self._process.stdin.flush()
            self._found = self._says("marked")

    def _says(self, word: str) -> bool:
        assert self._process.stdout
        came, _, _ = select.select([self._process.stdout], [], [], READY_S)
        return bool(came) and self._process.stdout.readline().strip() == word

    def serving(self, base_monotonic: float, output_tokens: int, *, complete: bool) -> Serving | None:
        """What the server said over the run; ``output_tokens`` are those that the client counted meanwhile."""
        try:
            out, _ = self._process.communicate(timeout=ENDS_S)
            data = json.loads(out) if self._found else None
        except (subprocess.TimeoutExpired, ValueError):
            data = None
        if not data:
            return None
        series = {
            name: [(round(at - base_monotonic, 3), value) for at, value in points if value is not None]
            for name, points in data.pop("series").items()
        }
        counted = data["output_tokens"]
        agrees = counted == output_tokens if counted is not None and complete else None
        highest = {name: max((value for _, value in series[name]), default=None) for name in _GAUGES}
        shown = {name: points for name, points in series.items() if points}
        return Serving(
            **data, running_max=highest["running"], queued_max=highest["queued"], kv_used_max=highest["kv_usage"],
            agrees=agrees, series=shown,
        )  # fmt: skip


@contextmanager
def sampling(endpoint: Endpoint, *, wanted: bool) -> Iterator[Sampler | None]:
    """Run the sampler beside the block, if ``wanted``. The key goes through a pipe, not through the arguments."""
    if not wanted:
        yield None
        return
    asked = {"base_url": endpoint.base_url, "api_key": endpoint.api_key, "headers": endpoint.headers}
    command = [sys.executable, "-m", "llmserve.bench.sampler"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stdin
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        try:
            yield Sampler(process)
        finally:
            if process.poll() is None:
                process.terminate()


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    headers = tuple((name, value) for name, value in asked.pop("headers"))
    endpoint = Endpoint(**asked, headers=headers, read_timeout=EVERY_S * 5)
    from llmserve.endpoint.metrics import Source
    from llmserve.errors import LlmserveError
    from llmserve.top.gpus import gpus

    with Source(endpoint) as source, gpus() as cards:
        try:
            first = source.sample()
        except LlmserveError:
            _say("none")
            return
        _say("ready")
        if not sys.stdin.readline():
            return
        local = is_loopback(endpoint.base_url)
        readings: list[Any] = [(first, [])]
        _settled(source, readings)
        del readings[:-1]
        readings[0] = (readings[0][0], cards.read() if local else [])
        _say("marked")
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            _read(source, readings, cards.read() if local else [])
        _settled(source, readings)
    _say(json.dumps(_told(readings)))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _read(source: Any, readings: list[Any], cards: list[Any]) -> None:
    from llmserve.errors import LlmserveError

    try:
        readings.append((source.sample(), cards))
    except LlmserveError:  # a busy server may not answer in time: the next reading will do
        return


def _settled(source: Any, readings: list[Any], patience: float = 3.0) -> None:
    """The last reading: some engines update their counters a moment after an answer's end."""
    ends = time.monotonic() + patience
    _read(source, readings, [])
    while time.monotonic() < ends:
        before = readings[-1][0].counters
        time.sleep(0.3)
        _read(source, readings, [])
        now = readings[-1][0]
        if now.counters == before and not now.running:
            return


def _told(readings: list[Any]) -> dict[str, Any]:
    first, last = readings[0][0], readings[-1][0]
    window = last.since(first)

    def rise(name: str) -> int | None:
        value = window.increase(name)
        return None if value is None else round(value)

    series: dict[str, list[tuple[float, float | None]]] = {
        name: [(sample.at, getattr(sample, name)) for sample, _ in readings] for name in _GAUGES
    }
    work = [(sample.at, sample.counters.get("generation_work")) for sample, _ in readings]
    series["output_tokens"] = [(at, value) for at, value in work if value is not None]
    for name in ("utilization", "power", "used_bytes"):
        for index in range(len(readings[0][1])):
            points = [(sample.at, getattr(cards[index], name)) for sample, cards in readings if index < len(cards)]
            series[f"gpu{index}_{name}"] = points
    return {
        "kind": last.engine, "output_tokens": rise("generation_tokens"), "input_tokens": rise("prompt_tokens"),
        "cache_hit_rate": window.cache_hit_rate, "series": series,
    }  # fmt: skip


if __name__ == "__main__":
    main()
