"""A chosen few of the same on real SGLang, whose launcher, scheduler and detokenizer are processes of their own."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from tests.engine.conftest import require
from tests.servers.tally import TALLY
from tests.servers.world import World, alive, send, streaming, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.sglang]
GROUP = "signals, SGLang"

PHASES = {
    "loading": ("Load weight begin", "Load weight end"),
    "KV allocation": ("Load weight end", "Memory pool end"),
    "warm-up": ("Uvicorn running", "fired up and ready to roll"),
}
"""The line of the log that begins a phase, and the one that ends it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One home for all: each start is also the next ``up`` after the fault before it."""
    require("sglang")
    one = World(tmp_path_factory.mktemp("sglang"), "sglang")
    yield one
    one.close()


@contextlib.contextmanager
def held(world: World, phase: str) -> Iterator[bool]:
    """Every process of the engine stopped in ``phase``; yields whether it is still that phase."""
    begins, ends = PHASES[phase]
    launcher = world.pid("launcher")
    wait_for(lambda: begins in world.log() or not alive(launcher), phase, pause=0.002)
    family = world.family()
    for pid in family:
        send(pid, signal.SIGSTOP)
    yield ends not in world.log()
    for pid in family:
        send(pid, signal.SIGCONT)


def ended(world: World, port: int, family: list[int]) -> None:
    """The whole engine is gone, ``ps`` knows, and ``down`` leaves nothing."""
    wait_for(lambda: not any(map(alive, family)), "the end of every process of the engine")
    wait_for(lambda: world.record().get("state") not in ("starting", "ready", "stopping"), "a record that is true")
    assert world.ps().get("state") in ("failed", "died", "stopped", None)
    world.down()
    _, err = world.reap()
    assert "Traceback" not in err, err
    world.nothing_left(port)


@pytest.mark.parametrize(
    ("phase", "victim", "number", "detached"),
    [
        ("loading", "launcher", signal.SIGKILL, False),
        ("KV allocation", "sglang::scheduler", signal.SIGKILL, False),
        ("warm-up", "keeper", signal.SIGTERM, True),
    ],
)
def test_while_it_starts(world: World, phase: str, victim: str, number: signal.Signals, detached: bool) -> None:
    world.start(detached=detached)
    with held(world, phase) as hit:
        family, port = world.family(), int(world.record()["port"])
        send(world.pid(victim), number)
    ended(world, port, family)
    TALLY.count(GROUP, hit=hit)


def test_while_it_streams(world: World) -> None:
    """A worker that is killed brings a restart; one that is stopped does not keep ``down`` from ending it."""
    world.start(detached=True)
    first = world.ready()
    world.reap()
    with streaming(first["url"]):
        family = world.family()
        send(world.pid("sglang::detokenizer"), signal.SIGKILL)
    wait_for(lambda: not any(map(alive, family)), "the end of the engine's other processes")
    wait_for(lambda: world.record().get("state") == "ready" and world.completes(), "a restart", pause=0.2)
    again = world.ps()
    assert (again["port"], again["restarts"]) == (first["port"], 1)
    TALLY.count(GROUP)
    for role in ("launcher", "sglang::scheduler"):
        send(world.pid(role), signal.SIGHUP)  # a terminal closed somewhere: it is none of theirs
    assert world.completes()
    TALLY.count(GROUP)
    family = world.family()
    send(world.pid("sglang::scheduler"), signal.SIGSTOP)
    assert world.ps()["state"] == "ready"
    world.down("--grace", "1")
    assert not any(map(alive, family))
    world.nothing_left(first["port"])
    TALLY.count(GROUP)
