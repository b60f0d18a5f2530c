"""Starting and stopping again and again leaves the machine as it was. ``make cycles`` does it a hundred times."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tests.engine.conftest import require
from tests.servers.tally import TALLY
from tests.servers.world import PATIENCE, World

CYCLES = int(os.environ.get("LLMSERVE_TEST_CYCLES", "8"))


@pytest.mark.engine
def test_cycles_leave_nothing(tmp_path: Path) -> None:
    require("llamacpp")
    world = World(tmp_path)
    try:
        _cycle(world)
        before = _here(world)
        for _ in range(CYCLES):
            _cycle(world)
            TALLY.count("up and down")
        assert _here(world) == before
    finally:
        world.close()


def _cycle(world: World) -> None:
    up = world.cli.run("up", "tiny", "--engine", "llamacpp", "--port", "0", "-d", "-q", timeout=PATIENCE)
    assert up.returncode == 0, up.stderr
    assert world.cli.run("down", timeout=PATIENCE).returncode == 0
    assert world.cli.processes() == {}


def _here(world: World) -> dict[str, object]:
    """Descriptors of this process, processes of ours, files, shared memory segments of ours, zombies."""
    state = sorted(str(path.relative_to(world.cli.home)) for path in world.cli.home.rglob("*"))
    shared = sorted(path.name for path in Path("/dev/shm").iterdir() if path.name.startswith("llmserve"))
    children = [child.pid for child in psutil.Process().children() if child.pid != world.bystander.pid]
    return {
        "descriptors": psutil.Process().num_fds(),
        "processes": sorted(world.cli.processes()),
        "children": children,
        "files": state,
        "temporary": sorted(path.name for path in world.cli.temporary.iterdir()),
        "shared memory": shared,
    }
