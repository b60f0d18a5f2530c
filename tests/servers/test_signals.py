"""Every signal to every process of the tree at every phase, in the foreground and detached.

Whatever happens, afterwards: no orphan, nobody else touched, the port free, ``ps`` true, and the next ``up`` works.
A phase is hit by stopping the engine (SIGSTOP) when its record or its log shows it; no test sleeps.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.conftest import require
from tests.servers.tally import TALLY
from tests.servers.world import PATIENCE, World, alive, send, streaming, wait_for

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)
WORKERS = 3


@dataclass(frozen=True)
class Case:
    """``victim`` gets ``number`` in ``phase``."""

    number: signal.Signals
    victim: str
    phase: str
    detached: bool

    def __str__(self) -> str:
        how = "detached" if self.detached else "foreground"
        return f"{self.number.name} to {self.victim}, {self.phase}, {how}"


EARLY = ("before load", "loading")
LATE = ("ready", "streaming", "stopping")
CASES = [
    Case(number, victim, phase, detached)
    for detached, phase, victim, number in itertools.product(
        (False, True), EARLY + LATE, ("up", "keeper", "launcher"), SIGNALS
    )
    if not (detached and phase in LATE and victim == "up")  # it has left by then
]


def play(world: World, case: Case, *more: str) -> bool:
    """Act a case out. Returns whether its phase was hit."""
    world.start(*more, detached=case.detached)
    with reached(world, case.phase) as hit:
        family, port = world.family(), world.record().get("port")
        victim = world.pid(case.victim)
        send(victim, case.number)
    if case.number == signal.SIGSTOP:
        check_frozen(world, case, victim)
    else:
        check_settled(world, case, victim)
    check_true(world, family)
    world.down("--grace", "2")
    if case.number == signal.SIGSTOP:
        send(victim, signal.SIGCONT)  # `up`, which is not the server: it sees the end now
    _, err = world.reap()
    assert "Traceback" not in err, err
    world.nothing_left(port)
    return hit


@contextlib.contextmanager
def reached(world: World, phase: str) -> Iterator[bool]:
    """The engine in ``phase``, held there; it goes on afterwards. Yields whether it is that phase indeed."""
    if phase in EARLY:
        engine = world.pid("launcher")
        if phase == "loading":
            wait_for(lambda: "loading model" in world.log() or not alive(engine), "loading", pause=0.0005)
        send(engine, signal.SIGSTOP)
        log = world.log()
        early = "loading model" not in log if phase == "before load" else "listening on" not in log
        yield early and world.record().get("state") == "starting"
        send(engine, signal.SIGCONT)
        return
    url = world.ready()["url"]
    engine = world.pid("launcher")
    if phase == "ready":
        yield True
        return
    with streaming(url):
        if phase == "stopping":
            send(engine, signal.SIGSTOP)
            ending = world.cli.popen("down", "--all", "--grace", "60")
            wait_for(lambda: world.record().get("state") == "stopping", "stopping")
            yield True
            send(engine, signal.SIGCONT)
        else:
            yield True
    if phase == "stopping":
        with contextlib.suppress(TimeoutError):
            ending.communicate(timeout=PATIENCE)


def check_frozen(world: World, case: Case, victim: int) -> None:
    """A process that is stopped is still there, and ``ps`` answers."""
    if case.phase != "stopping":  # then `down` may have ended it already
        assert alive(victim)
    world.ps()


def check_settled(world: World, case: Case, victim: int) -> None:
    """The server has ended whole, or serves (again)."""
    # a terminal that closes is the foreground's end alone: the others do not hear SIGHUP
    if case.number != signal.SIGHUP or case.victim == "up":
        wait_for(lambda: not alive(victim), f"{case.victim} ends by {case.number.name}")

    def settled() -> bool:
        # a keeper that is there decides; without one nothing may be left
        if not world.cli.processes():
            return True
        return world.record().get("state") == "ready" and world.completes()

    wait_for(settled, f"an end or a ready server, not {world.record().get('state')} with {world.cli.processes()}")


def check_true(world: World, family: Sequence[int]) -> None:
    """``ps`` says what is."""
    said = world.ps()
    state = said.get("state")
    if state == "ready":
        assert alive(said["process"]["pid"]) or world.record().get("restarts"), said
    elif state in ("failed", "died", "stopped", None):
        wait_for(lambda: not any(map(alive, family)), f"the engine's end, as ps says {state}")


def run_chain(home: Path, cases: Sequence[Case], group: str) -> list[str]:
    """Cases one after another in one home: each start is also the next ``up`` after the fault before it."""
    world, failures = World(home), []
    try:
        for case in cases:
            try:
                hit = play(world, case)
                TALLY.count(group, hit=hit)
            except Exception:
                failures.append(f"{case}:\n{traceback.format_exc(limit=-3)}")
                TALLY.count(group, failed=True)
                world.cli.clean()
                world.up = None
                world.down()
        world.start(detached=True)
        world.ready()
        world.down()
        world.reap()
        world.nothing_left(None)
    finally:
        world.close()
    return failures


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """Whoever ran the tests may ignore some (``nohup``, a script's ``&``); what is started here would inherit that."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.engine
@pytest.mark.parametrize("detached", [False, True], ids=["foreground", "detached"])
def test_the_embedded_engine(tmp_path: Path, detached: bool) -> None:
    require("llamacpp")
    cases = [case for case in CASES if case.detached == detached]
    group = f"signals, llama.cpp, {'detached' if detached else 'foreground'}"
    chains = [cases[number::WORKERS] for number in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        homes = [tmp_path / str(number) for number in range(WORKERS)]
        results = list(pool.map(run_chain, homes, chains, [group] * WORKERS))
    failures = [failure for result in results for failure in result]
    assert not failures, f"{len(failures)} of {len(cases)} cases failed:\n" + "\n\n".join(failures)
    assert TALLY.missed[group] <= sum(case.phase == "loading" for case in cases), "phases that can be held were missed"
