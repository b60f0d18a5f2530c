"""The same on real SGLang, whose launcher, scheduler and detokenizer are processes of their own.

A start takes SGLang a quarter of a minute, so a chosen few stand for all; ``make test-signals`` runs each.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import require
from tests.servers.matrix import ALL, PHASES, Case, every, run_chain
from tests.servers.tally import TALLY
from tests.servers.world import World, alive, send, streaming, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.sglang]
GROUP = "signals, SGLang"
LAUNCHER, SCHEDULER, DETOKENIZER = "launcher", "sglang::scheduler", "sglang::detokenizer"

CHOSEN = [
    Case(signal.SIGINT, "up", "before load", detached=False),
    Case(signal.SIGKILL, LAUNCHER, "loading", detached=False),
    Case(signal.SIGKILL, SCHEDULER, "KV allocation", detached=True),
    Case(signal.SIGTERM, "keeper", "warm-up", detached=True),
    Case(signal.SIGKILL, "keeper", "stopping", detached=True),
]
EACH = [
    *every(("up",), detached=False),
    *every(("keeper", LAUNCHER, SCHEDULER, DETOKENIZER), detached=True),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require("sglang")
    one = World(tmp_path, "sglang")
    yield one
    one.close()


@pytest.mark.usefixtures("_signals_are_heard")
def test_signals(tmp_path: Path) -> None:
    require("sglang")
    cases = EACH if ALL else CHOSEN
    failures = run_chain(tmp_path, cases, GROUP, "sglang")
    assert not failures, f"{len(failures)} of {len(cases)} cases failed:\n" + "\n\n".join(failures)
    assert not ALL or TALLY.phases["sglang"] == set(PHASES), "a phase was never hit"


@pytest.mark.usefixtures("_signals_are_heard")
def test_one_server_through_many_signals(world: World) -> None:
    """A worker that is killed brings a restart; one that is paused is called so, and does not keep ``down`` waiting."""
    world.start(detached=True)
    first = world.ready()
    world.reap()
    with streaming(first["url"]):
        family = world.family()
        send(world.pid(DETOKENIZER), signal.SIGKILL)
    wait_for(lambda: not any(map(alive, family)), "the end of the engine's other processes")
    wait_for(lambda: world.record().get("state") == "ready" and world.completes(), "a restart", pause=0.2)
    again = world.ps()
    assert (again["port"], again["restarts"]) == (first["port"], 1)
    TALLY.count(GROUP)
    send(world.pid("keeper"), signal.SIGHUP)  # a terminal closed somewhere: it is none of its own
    assert world.completes()
    TALLY.count(GROUP)
    for role in (LAUNCHER, DETOKENIZER, SCHEDULER):
        send(world.pid(role), signal.SIGSTOP)
        wait_for(lambda: world.ps()["state"] == "paused", f"a truthful ps with a paused {role}")
        if role != SCHEDULER:
            send(world.pid(role), signal.SIGCONT)
            wait_for(lambda: world.ps()["state"] == "ready" and world.completes(), f"{role} goes on")
        TALLY.count(GROUP)
    family = world.family()
    world.down("--grace", "1")
    assert not any(map(alive, family))
    world.nothing_left(first["port"])
