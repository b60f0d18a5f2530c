"""The paced endpoint in a process of its own, for tests."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["PacedProcess", "paced"]

TREE = Path(__file__).parents[2]


class PacedProcess:
    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url, self.process = url, process

    def counters(self) -> dict[str, Any]:
        """Connections and tokens as the server itself counted them."""
        with urllib.request.urlopen(self.url + "/counters", timeout=60) as response:
            counted: dict[str, Any] = json.loads(response.read())
        return counted


@contextmanager
def paced(*, ttft: float = 2.0, itl: float = 1.0, truth: Path | None = None) -> Iterator[PacedProcess]:
    """Started, and ended when the block is left; the truth is then complete."""
    more = ["--truth", str(truth)] if truth else []
    command = [sys.executable, "-m", "tests.fakes.paced", "--ttft", str(ttft), "--itl", str(itl), *more]
    with subprocess.Popen(command, cwd=TREE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield PacedProcess(process.stdout.readline().strip(), process)
        finally:
            process.terminate()
            process.wait(60)
