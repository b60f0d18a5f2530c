"""What an engine leaves in the temporary folder and in shared memory goes with it, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserve.engine.leftovers import SHARED_MEMORY, sweep

linux = pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="no /dev/shm here")

MAPS_A_SEGMENT = """
import mmap, sys
with open(sys.argv[1], "wb") as file:
    file.write(b"x" * 4096)
with open(sys.argv[1], "r+b") as file:
    held = mmap.mmap(file.fileno(), 0)
    print("mapped", flush=True)
    sys.stdin.read()
"""


PREFIX = "llmserve-test-"


def test_the_temporary_folder_goes_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "socket").touch()
    sweep(str(tmp_path / "engine"), (), since=0)
    sweep(None, (), since=0)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def segments() -> Iterator[dict[str, Path]]:
    """Paths in shared memory, by what they are; whatever a test makes there is removed."""
    mark = uuid.uuid4().hex
    paths = {kind: SHARED_MEMORY / f"{PREFIX}{kind}-{mark}" for kind in ("older", "ours", "used")}
    paths["foreign"] = SHARED_MEMORY / f"foreign-{mark}"
    yield paths
    for path in paths.values():
        path.unlink(missing_ok=True)


@linux
def test_only_unused_segments_of_the_engines_own_go(segments: dict[str, Path]) -> None:
    segments["older"].touch()
    os.utime(segments["older"], (1, 1))
    since = time.time() - 1
    segments["ours"].touch()
    segments["foreign"].touch()
    with subprocess.Popen(
        [sys.executable, "-c", MAPS_A_SEGMENT, str(segments["used"])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        sweep(None, (PREFIX,), since=since)
        left = {kind for kind, path in segments.items() if path.exists()}
        child.kill()
    assert left == {"older", "used", "foreign"}
