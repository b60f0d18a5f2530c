"""Starting and stopping again and again leaves the machine as it was. ``make cycles`` does it a hundred times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.engine.conftest import require
from tests.servers.tally import TALLY
from tests.servers.world import NAME, PATIENCE, World, wait_for

pytestmark = pytest.mark.engine
CYCLES = int(os.environ.get("LLMSERVE_TEST_CYCLES", "8"))
_GROWTH = 4 << 20
"""Bytes that a keeper may grow by over all of its restarts: what Python keeps of its first ones."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("llamacpp")
    one = World(tmp_path)
    yield one
    one.close()


def test_cycles_leave_nothing(world: World) -> None:
    _cycle(world)
    before = _here(world)
    for _ in range(CYCLES):
        _cycle(world)
        TALLY.count("up and down")
    after = _here(world)
    assert after == before
    TALLY.figures.append(
        f"After {CYCLES} cycles of up and down, as before them: {after['descriptors']} descriptors of the caller, "
        f"{len(after['processes'])} processes, {len(after['files'])} files, {len(after['temporary'])} temporary files, "
        f"{after['shared']} bytes of shared memory."
    )


def _cycle(world: World) -> None:
    up = world.cli.run("up", "tiny", "--engine", "llamacpp", "--port", "0", "-d", "-q", timeout=PATIENCE)
    assert up.returncode == 0, up.stderr
    assert world.cli.run("down", timeout=PATIENCE).returncode == 0
    assert world.cli.processes() == {}


def _here(world: World) -> dict[str, Any]:
    """What a server could have left: descriptors of this process, processes, files, shared memory, zombies."""
    segments = [path for path in Path("/dev/shm").iterdir() if path.name.startswith("llmserve")]
    children = psutil.Process().children()
    return {
        "descriptors": psutil.Process().num_fds(),
        "processes": [str(pid) for pid in world.cli.processes()],
        "children": [str(child.pid) for child in children if child.pid != world.bystander.pid],
        "files": sorted(str(path.relative_to(world.cli.home)) for path in world.cli.home.rglob("*")),
        "temporary": sorted(path.name for path in world.cli.temporary.iterdir()),
        "shared": sum(path.stat().st_size for path in segments),
    }


def test_a_keeper_through_many_restarts_stays_as_it_was(world: World) -> None:
    """Each restart is a new engine under the same keeper, which is what runs for weeks."""
    world.start(detached=True)
    world.ready()
    world.reap()
    _restart(world)
    keeper = psutil.Process(world.pid("keeper"))
    before = _held(keeper)
    for _ in range(CYCLES):
        _restart(world)
        TALLY.count("restarts")
    assert keeper.pid == world.pid("keeper")
    after = _held(keeper)
    assert {**after, "bytes": 0} == {**before, "bytes": 0}
    assert after["bytes"] - before["bytes"] < _GROWTH
    TALLY.figures.append(
        f"A keeper before and after {CYCLES} restarts: {before['descriptors']} and {after['descriptors']} descriptors, "
        f"{before['threads']} and {after['threads']} threads, {before['bytes'] / 1e6:.1f} and "
        f"{after['bytes'] / 1e6:.1f} MB of its own."
    )
    world.down()
    world.nothing_left(None)


def _restart(world: World) -> None:
    done = world.cli.run("restart", NAME, "--grace", "0", timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def _held(keeper: psutil.Process) -> dict[str, int]:
    """A ready server's keeper, when the threads of its start have ended."""
    threads = wait_for(lambda: (count := keeper.num_threads()) <= _THREADS and count, "the start's threads end")
    return {
        "descriptors": keeper.num_fds(),
        "threads": threads,
        "children": len(keeper.children()),
        "bytes": keeper.memory_full_info().uss,
    }


_THREADS = 4
"""The main one, orders, the log, the engine's end. (What `up` says has ended with it.)"""
