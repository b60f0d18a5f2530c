"""The live view's end in the measuring process: a line into a pipe every quarter second, never waited for.

A process of its own draws (:mod:`llmserve.bench.live_view`), so that drawing takes no time from the loop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from llmserve.bench.loop import Loop

__all__ = ["Teller", "showing"]

EVERY_S = 0.25
SAMPLES = 64  # of what ended since the last line; the rest is counted


class Teller:
    """What a loop's ``watch`` calls; at most four times a second it says how far things are."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe
        self._next, self._rows, self._table = 0.0, 0, 0
        self.stage, self.level, self.seconds, self.requests = "", "", 0.0, 0
        self._began = 0.0
        os.set_blocking(pipe, False)

    def begin(self, stage: str, seconds: float | None, requests: int | None) -> None:
        """A stage begins that ends after ``seconds`` or ``requests``."""
        self.stage, self.seconds, self.requests = stage, seconds or 0.0, requests or 0
        self._began, self._next = time.monotonic(), 0.0

    def __call__(self, loop: Loop) -> None:
        now = time.monotonic()
        if now < self._next or self._pipe is None or not self.stage:
            return
        self._next = now + EVERY_S
        table = loop.table
        if id(table) != self._table:
            self._table, self._rows = id(table), 0
        ended, waits, tokens, failed = 0, [], 0, 0
        ends = len(table)
        for sent, first, output, cause in table.glance(max(self._rows, ends - SAMPLES)):
            failed += bool(cause)
            tokens += output
            if first == first and sent == sent and not cause:
                waits.append(round((first - sent) * 1e3, 2))
            ended += 1
        scale = (ends - self._rows) / ended if ended else 0.0
        self._say({
            "stage": self.stage, "at": round(now - self._began, 2), "seconds": self.seconds, "requests": self.requests,
            "ended": ends - self._rows, "failed": round(failed * scale), "tokens": round(tokens * scale),
            "active": loop.in_flight, "waits": waits,
        })  # fmt: skip
        self._rows = ends

    def _say(self, said: dict[str, object]) -> None:
        assert self._pipe is not None
        try:
            os.write(self._pipe, json.dumps(said, separators=(",", ":")).encode() + b"\n")
        except BlockingIOError:
            return  # the view is slow: it misses a line
        except OSError:
            self._pipe = None


@contextmanager
def showing(*, live: bool) -> Iterator[Teller]:
    """A view beside the block: drawn in place if ``live``, else a line now and then. Both on stderr."""
    command = [sys.executable, "-m", "llmserve.bench.live_view", "live" if live else "plain"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin
        try:
            yield Teller(process.stdin.fileno())
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
