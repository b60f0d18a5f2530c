"""``llmserve pull`` against a hub, a disk and a user that do everything wrong: the real command, each case in a world.

However a run ends, it ends complete and verified, or with one sentence and a cache from which the next run goes on
without fetching again what was there. The cases wait more than they work, so several run at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.cases import CASES, Skip
from tests.faults.tally import TALLY
from tests.faults.world import World

AT_ONCE = 2 * (os.cpu_count() or 1) + 2
Outcomes = dict[str, Future[World]]


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """All chosen cases, begun together."""
    ours = [item for item in request.session.items if item.path == Path(__file__)]
    chosen = [item.callspec.params["name"] for item in ours if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(_run, name, tmp_path_factory.mktemp("w")) for name in chosen}


def _run(name: str, home: Path) -> World:
    with World(home) as world:
        CASES[name](world)
    return world


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost(name: str, outcomes: Outcomes) -> None:
    TALLY.cases += 1
    try:
        world = outcomes[name].result()
    except Skip as reason:
        TALLY.skipped += 1
        pytest.skip(str(reason))
    except BaseException:
        TALLY.failed += 1
        raise
    TALLY.runs += world.runs
    TALLY.excused += world.excused
    TALLY.torn += world.lost if world.lost <= world.torn else 0
    if world.lost > world.torn:
        TALLY.lost[name] = world.lost
    assert world.lost <= world.torn, f"{world.lost:,} bytes were fetched although they were there"
