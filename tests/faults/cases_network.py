"""What a hub and the way to it do wrong, for a while and for good."""

from __future__ import annotations

import signal
from dataclasses import replace

from tests.fakes.hub import ALWAYS, Fault
from tests.faults.registry import CASES, MIDDLE, Case, case
from tests.faults.world import SHORT, SIZE, World

SHARD = "*00002*"


def _passing(*faults: Fault) -> Case:
    """Faults that pass are met in the same run, and nothing is fetched twice but what was damaged."""

    def run(world: World) -> None:
        world.hub.faults.all = [replace(fault) for fault in faults]
        if any(fault.kind in ("hang", "slow") for fault in faults):
            world.stall = SHORT
        ended = world.pull()
        assert all(fault.times == 0 for fault in world.hub.faults.all), "the fault did not occur"
        world.complete(ended)

    return run


PASSING: dict[str, Fault] = {
    "cut three times": Fault(after=100_000, times=3, where=SHARD),
    "cut in a small file": Fault(after=1000, times=1, where="*tokenizer.json"),
    "truncated once": Fault(after=MIDDLE, times=1, kind="truncate", where=SHARD),
    "reset twice": Fault(after=100_000, times=2, kind="reset", where=SHARD),
    "reset at the first byte": Fault(after=0, times=2, kind="reset", where=SHARD),
    "hangs once": Fault(after=100_000, times=1, kind="hang", where=SHARD),
    "hangs before the first byte": Fault(after=0, times=1, kind="hang", where=SHARD),
    "slow-loris": Fault(pause=0.2, piece=1, times=1, kind="slow", where=SHARD),
    "wrong length once": Fault(after=1000, times=1, kind="wrong_length", where=SHARD),
    "wrong hash once": Fault(after=MIDDLE, times=1, kind="corrupt", where=SHARD),
    "wrong hash of a small file once": Fault(after=9, times=1, kind="corrupt", where="*config.json"),
    "compressed once": Fault(times=1, kind="gzip", where=SHARD),
    "redirect loop once": Fault(times=1, kind="loop", where=f"*resolve*{SHARD}"),
    "signed link expired twice": Fault(times=2, kind="expired", where=SHARD),
    "429 from the API": Fault(times=2, kind="status", status=429, retry_after=0.2, where="api/*"),
    "429 for a file": Fault(times=2, kind="status", status=429, retry_after=0.2, where=f"*resolve*{SHARD}"),
    "429 from the CDN": Fault(times=2, kind="status", status=429, retry_after=0.2, where="cdn/*"),
    "429 without a time": Fault(times=1, kind="status", status=429, where=f"*resolve*{SHARD}"),
    "500 from the API": Fault(times=2, kind="status", status=500, where="api/*"),
    "500 for a file": Fault(times=2, kind="status", status=500, where=f"*resolve*{SHARD}"),
    "502 from the CDN": Fault(times=2, kind="status", status=502, where="cdn/*"),
    "503 from the API": Fault(times=2, kind="status", status=503, where="api/*"),
    "503 from the CDN": Fault(times=3, kind="status", status=503, where="cdn/*"),
    "504 for a file": Fault(times=1, kind="status", status=504, where=f"*resolve*{SHARD}"),
}
for _name, _fault in PASSING.items():
    CASES[_name] = _passing(_fault)
CASES["everything at once"] = _passing(
    PASSING["cut three times"], PASSING["reset twice"], PASSING["signed link expired twice"],
    PASSING["429 from the API"], PASSING["503 from the CDN"], PASSING["wrong length once"],
)  # fmt: skip


def _lasting(fault: Fault, *codes: int) -> Case:
    """Faults that stay end the run with a sentence; without them the next run goes on."""

    def run(world: World) -> None:
        world.hub.fault = replace(fault, times=ALWAYS)
        world.refused(world.pull(), *codes)
        world.again()

    return run


LASTING: dict[str, Fault] = {
    "cut always": Fault(after=3000, where=SHARD),
    "cut at the same byte always": Fault(after=MIDDLE, kind="truncate", where=SHARD),
    "reset always": Fault(after=0, kind="reset", where=SHARD),
    "wrong length always": Fault(after=1, kind="wrong_length", where="*tokenizer.json"),
    "wrong hash always": Fault(after=MIDDLE, kind="corrupt", where=SHARD),
    "wrong hash of a small file always": Fault(after=9, kind="corrupt", where="*/config.json"),
    "compressed always": Fault(kind="gzip", where=SHARD),
    "redirect loop of the API": Fault(kind="loop", where="api/*"),
    "redirect loop of a file": Fault(kind="loop", where=f"*resolve*{SHARD}"),
    "signed links expire always": Fault(kind="expired", where=SHARD),
    "429 for an hour": Fault(kind="status", status=429, retry_after=3600, where=f"*resolve*{SHARD}"),
    "500 always": Fault(kind="status", status=500, where="api/*"),
    "503 from the CDN always": Fault(kind="status", status=503, where="cdn/*"),
    "404 for a file that is listed": Fault(kind="status", status=404, where=f"*resolve*{SHARD}"),
}
for _name, _fault in LASTING.items():
    CASES[_name] = _lasting(_fault)


@case("hangs always")
def _hangs(world: World) -> None:
    world.stall = SHORT
    world.hub.fault = Fault(times=ALWAYS, kind="hang", where=SHARD)
    world.refused(world.pull())
    world.again()


@case("every answer hangs in its middle")
def _hangs_midway(world: World) -> None:
    """As long as each attempt brings something, the run goes on."""
    world.stall = SHORT
    world.hub.fault = Fault(after=200_000, times=ALWAYS, kind="hang", where="cdn/*")
    world.complete(world.pull())


@case("ranges are ignored")
def _no_range(world: World) -> None:
    """Without ranges a file that breaks off has to begin anew, as there is no other way; it ends well all the same."""
    world.hub.faults.all = [Fault(times=ALWAYS, kind="no_range")]
    world.complete(world.pull())


@case("ranges are ignored after an interruption")
def _no_range_later(world: World) -> None:
    world.hub.rate = 8e6
    world.killed(MIDDLE, signal.SIGKILL)
    world.hub.rate, world.hub.faults.all = None, [Fault(times=ALWAYS, kind="no_range", where=SHARD)]
    world.complete(world.pull())
    world.excuse()  # what a server cannot leave out is no loss of ours


@case("a wrong range when going on")
def _wrong_range(world: World) -> None:
    world.hub.rate = 8e6
    world.killed(MIDDLE, signal.SIGKILL)
    world.hub.rate, world.hub.fault = None, Fault(after=1, times=1, kind="wrong_range", where="cdn/*")
    world.complete(world.pull())
    assert world.hub.fault.times == 0, "the fault did not occur"


@case("signed links end again and again")
def _short_links(world: World) -> None:
    """Before the last byte that each of them was to bring, since every connection is cut."""
    world.hub.fault = Fault(after=200_000, times=ALWAYS, where="cdn/*")
    for total in range(1, SIZE, 300_000):
        world.hub.at(total, world.hub.leap)
    world.complete(world.pull())
    assert world.hub.stale, "no link has ended"


@case("the hub is gone")
def _gone(world: World) -> None:
    world.hub.rate = 8e6
    world.killed(MIDDLE, signal.SIGKILL)
    url = world.hub.url
    world.hub.__exit__()
    with world.hub.vacant():
        world.refused(world.pull())
    fresh = World(world.home)
    fresh.runs = world.runs
    with fresh:
        assert fresh.hub.url != url
        fresh.again()
    world.lost += fresh.lost
    world.runs = fresh.runs


@case("the hub's clock is a year ahead")
def _ahead(world: World) -> None:
    world.hub.skew = 365 * 86400
    world.hub.fault = Fault(times=2, kind="status", status=429, retry_after=1, retry_date=True, where="cdn/*")
    world.complete(world.pull())


@case("the hub's clock is a year behind")
def _behind(world: World) -> None:
    world.hub.skew = -365 * 86400
    world.hub.fault = Fault(times=2, kind="status", status=429, retry_after=1, retry_date=True, where="cdn/*")
    world.complete(world.pull())
