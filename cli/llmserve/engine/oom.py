"""Whether the kernel killed processes because memory ran out: it tells nobody but its own counter."""

from __future__ import annotations

import contextlib
from pathlib import Path

from llmserve.engine.base import Failure

COUNTERS = Path("/proc/vmstat")

KILLED = Failure(
    code="host_out_of_memory",
    message="The system killed the engine because memory ran out.",
    hint="Ask for less with --context or --concurrency, or choose a smaller or quantised model.",
    exit_code=3,
)


def kills() -> int:
    """How often it did so since the machine was started, for containers' own limits as well; 0 where nobody counts."""
    with contextlib.suppress(OSError, ValueError):
        for line in COUNTERS.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
