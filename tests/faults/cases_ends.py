"""Runs that are ended: killed, told to end, or two beside each other, of which one may be the hub's own client."""

from __future__ import annotations

import random
import signal

from tests.fakes.hub import Repo
from tests.faults.registry import CASES, MIDDLE, Case, Skip, case
from tests.faults.world import CHUNK, FILES, LIMIT, REPO, SIZE, World, files

POINTS = [*random.Random(4).sample(range(SIZE + 1), 18), 0, SIZE]
"""Bytes that have been served when a run is killed: 18 at random, the first, and the last."""


def _kills(points: list[int]) -> Case:
    def run(world: World) -> None:
        for point in points:
            world.hub.rate = 8e6
            ended = world.killed(point, signal.SIGKILL)
            assert ended.code == -signal.SIGKILL, "it ended before it could be killed"
            world.sound()
        world.again()

    return run


for _number in range(5):
    _points = sorted(POINTS[_number::5])
    CASES[f"killed at bytes {', '.join(f'{point:,}' for point in _points)}"] = _kills(_points)


def _signalled(number: signal.Signals) -> Case:
    def run(world: World) -> None:
        if signal.getsignal(number) == signal.SIG_IGN:
            raise Skip("under nohup it is ignored, as it should be")
        world.hub.rate = 8e6
        ended = world.killed(MIDDLE, number)
        assert ended.code == 130, (ended.code, ended.err)
        assert "Interrupted. What has been fetched is kept." in ended.err
        world.sound()
        world.again()

    return run


CASES["Ctrl-C"] = _signalled(signal.SIGINT)
CASES["SIGTERM"] = _signalled(signal.SIGTERM)
CASES["SIGHUP"] = _signalled(signal.SIGHUP)


def _shards_sent(world: World) -> int:
    return sum(end - first for name, first, end in world.hub.sent if name.endswith(".safetensors"))


AIR = 6 * CHUNK
"""Bytes on their way to connections that are closed because others have brought the rest."""

SHARDS = sum(len(content) for name, content in FILES.items() if name.endswith(".safetensors"))


@case("two at once")
def _two(world: World) -> None:
    world.hub.rate = 8e6
    first = world.start()
    second = world.start()
    for process in (first, second):
        world.complete(world.end(process))
    assert _shards_sent(world) <= SHARDS + AIR, f"{_shards_sent(world):,} bytes of {SHARDS:,} were sent"


@case("two at once, one killed")
def _two_killed(world: World) -> None:
    world.hub.rate = 8e6
    first = world.hub.strike(MIDDLE, signal.SIGKILL, world.start)
    second = world.start()
    world.end(first)
    world.complete(world.end(second))
    assert _shards_sent(world) <= SHARDS + 2 * AIR


@case("the hub's client at the same time")
def _with_hf(world: World) -> None:
    world.hub.rate = 8e6
    other = world.hf()
    ours = world.start()
    ended = world.end(ours)
    _, said = other.communicate(timeout=LIMIT)
    assert other.returncode == 0, said
    world.complete(ended)


@case("the hub's client after an interruption")
def _hf_after(world: World) -> None:
    world.hub.rate = 8e6
    world.killed(MIDDLE, signal.SIGKILL)
    world.hub.rate = None
    other = world.hf()
    _, said = other.communicate(timeout=LIMIT)
    assert other.returncode == 0, said
    world.sound()
    world.hub.served.clear()
    ended = world.pull()
    assert (ended.code, world.hub.total) == (0, 0)
    for path in (world.repository / "blobs").glob("*.incomplete"):
        path.unlink()  # the other client knows nothing of our partial files: `llmserve prune --partial`
    world.whole()


@case("after the hub's client was killed")
def _after_hf(world: World) -> None:
    world.hub.rate = 8e6
    other = world.hub.strike(2 * MIDDLE, signal.SIGKILL, world.hf)
    other.communicate(timeout=LIMIT)
    assert other.returncode == -signal.SIGKILL
    world.hub.rate = None
    world.start().communicate(timeout=LIMIT)  # its own partial files carry no note, and are left to it
    commit = world.hub.repos[REPO].commit
    for name, content in world.content.items():
        assert (world.repository / "snapshots" / commit / name).read_bytes() == content


@case("the repository changes meanwhile")
def _changes(world: World) -> None:
    world.hub.rate = 8e6
    world.killed(MIDDLE, signal.SIGKILL)
    world.content = dict(world.content) | {
        "model-00002-of-00003.safetensors": files(2)["model-00002-of-00003.safetensors"]
    }
    world.hub.repos[REPO] = Repo(world.content)
    world.hub.rate = None
    ended = world.pull()
    assert ended.code == 0, ended.err
    commit = world.hub.repos[REPO].commit
    for name, content in world.content.items():
        assert (world.repository / "snapshots" / commit / name).read_bytes() == content
