"""Signals to processes in phases: how a case is acted out, and what must hold afterwards.

Whatever happens: no orphan, nobody else touched, the port free, ``ps`` true, and the next ``up`` works. A phase is hit
by stopping the engine (SIGSTOP) as soon as its log shows the phase, and by looking again while it stands still; a
start that was faster than that is begun anew. No test sleeps.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import struct
import subprocess
import termios
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.tally import TALLY
from tests.servers.world import PATIENCE, World, alive, send, streaming, wait_for

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)
ALL = bool(os.environ.get("LLMSERVE_TEST_ALL_SIGNALS"))
"""Whether all cases are wanted that there are, for an hour."""

EARLY = ("before load", "loading", "KV allocation", "warm-up")
LATE = ("ready", "streaming", "stopping")
PHASES = EARLY + LATE
OURS = ("up", "keeper")
_TRIES = 6

BEGINS = {
    "llamacpp": ("load_model: loading model", "constructing llama_context", "warming up the model"),
    "sglang": ("Load weight begin", "Load weight end", "Uvicorn running"),
}
"""The line of the log that begins loading, KV allocation, warm-up."""
ENDS = {
    "llamacpp": ("constructing llama_context", "llama_kv_cache: size", "an end that the record alone shows"),
    "sglang": ("Load weight end", "Memory pool end", "fired up and ready to roll"),
}
"""The line that ends it."""
SLOWER = {"llamacpp": ("--", "--ctx-size", "131072"), "sglang": ()}
"""Flags with which the tiny model takes long enough to be met while it allocates its cache and warms up."""


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


def every(victims: Sequence[str], *, detached: bool) -> list[Case]:
    """All signals to all ``victims`` in all phases; a detached ``up`` has left once the server is ready."""
    found = itertools.product(SIGNALS, victims, PHASES)
    return [
        Case(number, victim, phase, detached)
        for number, victim, phase in found
        if not (detached and victim == "up" and phase in LATE)
    ]


def once(victims: Sequence[str]) -> list[Case]:
    """The same, each in the foreground or detached by turns; ``up``, which leaves only when detached, in both."""
    both = [case for detached in (False, True) for case in every(victims, detached=detached)]
    turns = itertools.cycle((False, True))
    wanted = {(case.number, case.victim, case.phase): next(turns) for case in both if not case.detached}
    return [
        case for case in both if case.victim == "up" or case.detached == wanted[case.number, case.victim, case.phase]
    ]


def run_chain(home: Path, cases: Sequence[Case], group: str, engine: str = "llamacpp") -> list[str]:
    """Cases one after another in one home: each start is also the next ``up`` after the fault before it."""
    world, failures = World(home, engine), []
    try:
        for case in cases:
            try:
                hit = play(world, case)
                TALLY.count(group, hit=hit)
                if hit:
                    TALLY.note_phase(engine, case.phase)
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


@dataclass
class Hold:
    """A server in a phase. ``frozen`` processes go on when it is let go, and clients' connections close."""

    hit: bool = True
    frozen: set[int] = field(default_factory=set)
    ending: subprocess.Popen[str] | None = None
    open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def release(self) -> None:
        for pid in self.frozen:
            send(pid, signal.SIGCONT)
        self.open.close()


def play(world: World, case: Case) -> bool:
    """Act a case out. Returns whether its phase was hit."""
    for tried in range(_TRIES):
        world.start(*(SLOWER[world.engine] if case.phase in EARLY[2:] else ()), detached=case.detached)
        hold = reach(world, case)
        if hold.hit or tried == _TRIES - 1:
            break
        hold.release()
        world.down("--grace", "0")
        world.reap()
    family, port = world.family(), world.record().get("port")
    victim = world.pid(case.victim)
    send(victim, case.number)
    if case.number == signal.SIGSTOP:
        hold.frozen.discard(victim)
        check_frozen(world, case, victim, hold)
    else:
        hold.release()
        check_settled(world, case, victim)
    if check_true(world, family):
        world.down("--grace", "2")
    finish(world, case, victim, hold)
    world.nothing_left(port)
    return hold.hit


def finish(world: World, case: Case, victim: int, hold: Hold) -> None:
    """The commands under way end by themselves, and without a traceback."""
    if case.number == signal.SIGSTOP:
        send(victim, signal.SIGCONT)  # `up`, which is not the server: it sees the end now
    _, err = world.reap()
    assert "Traceback" not in err, err
    if hold.ending is not None:
        _, err = hold.ending.communicate(timeout=PATIENCE)
        assert (hold.ending.returncode, err.count("Traceback")) == (0, 0), err


def reach(world: World, case: Case) -> Hold:
    """The engine in the phase, held there."""
    if case.phase in EARLY:
        return _frozen(world, case)
    hold, url = Hold(), world.ready()["url"]
    if case.phase != "ready":
        hold.open.enter_context(streaming(url))
    if case.phase == "stopping":
        hold.ending = world.cli.popen("down", "--all", "--grace", "5")
        wait_for(lambda: world.record().get("state") != "ready", "stopping")
        hold.hit = world.record().get("state") == "stopping"
    return hold


def _frozen(world: World, case: Case) -> Hold:
    """Every process of the engine stopped in one of the phases of a start."""
    engine, number = world.pid("launcher"), EARLY.index(case.phase) - 1
    if number >= 0:
        begins = BEGINS[world.engine][number]
        wait_for(lambda: begins in world.log() or not alive(engine), case.phase, pause=0.002)
    elif case.victim not in (*OURS, "launcher"):
        world.pid(case.victim)
    hold = Hold(frozen=set(world.family()))
    for pid in hold.frozen:
        send(pid, signal.SIGSTOP)
    log = settled_log(world, engine)
    over = ENDS[world.engine][number] if number >= 0 else BEGINS[world.engine][0]
    hold.hit = alive(engine) and over not in log and world.record().get("state") == "starting"
    return hold


def settled_log(world: World, engine: int) -> str:
    """The log, once all that the engine has written so far is in it."""
    with contextlib.suppress(OSError):
        pipe = os.open(f"/proc/{engine}/fd/1", os.O_RDONLY | os.O_NONBLOCK)
        try:
            wait_for(lambda: _waiting(pipe) == 0, "the log is written", pause=0.001)
        finally:
            os.close(pipe)
    return world.log()


def _waiting(pipe: int) -> int:
    """Bytes that nobody has read yet."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0])


def check_frozen(world: World, case: Case, victim: int, hold: Hold) -> None:
    """A process that is stopped is still there, and ``ps`` says so of an engine's."""
    if case.phase == "stopping":  # then `down` may have ended it already
        hold.release()
        return
    assert alive(victim)
    said = world.ps()
    if case.victim not in OURS:
        assert said["live"]["paused"], said
        assert said["state"] == ("paused" if case.phase in LATE else "starting"), said
    hold.release()


def check_settled(world: World, case: Case, victim: int) -> None:
    """The server has ended whole, or serves (again)."""
    # a terminal that closes is the foreground's end alone: the others do not hear SIGHUP
    if case.number != signal.SIGHUP or case.victim == "up":
        wait_for(lambda: not alive(victim), f"{case.victim} ends by {case.number.name}")

    def settled() -> bool:
        # a keeper that is there decides; without one nothing may be left
        if world.record().get("state") == "ready" and world.completes():
            return True
        return not world.cli.processes()

    wait_for(settled, "an end or a ready server", pause=0.1)


def check_true(world: World, family: Sequence[int]) -> bool:
    """``ps`` says what is. Returns whether it knows the server."""
    said = world.ps()
    state = said.get("state")
    if state == "ready":
        assert alive(said["process"]["pid"]) or world.record().get("restarts"), said
    elif state in ("failed", "died", "stopped", None):
        wait_for(lambda: not any(map(alive, family)), f"the engine's end, as ps says {state}")
    return bool(said)
