from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from llmserve.hardware.cgroup import Limits
from llmserve.hardware.memory import ram

KIB = 1024


def test_ram_is_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    lines = "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   600 kB\nHugePages_Total:\n"
    (tmp_path / "proc" / "meminfo").write_text(lines)
    found = ram(Limits(memory_left_bytes=500 * KIB), tmp_path)
    assert (found.total_bytes, found.available_bytes) == (1000 * KIB, 500 * KIB)


@pytest.mark.parametrize("text", ["", "MemTotal: 1000 kB", "MemTotal: many\nMemAvailable: few\n"])
def test_ram_is_asked_of_psutil_where_the_kernel_does_not_say(text: str, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(text)
    assert ram(Limits(), tmp_path).total_bytes == psutil.virtual_memory().total == ram(Limits()).total_bytes
