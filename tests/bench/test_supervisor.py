"""What keeping a server costs: the keeper's share of a core while the server is idle, and its memory.

Requests do not pass through it: while it is stopped, the server answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.engine.conftest import Cli, require
from tests.servers.world import completes

_IDLE_S = 30.0
_CORE_SHARE, _MOST_BYTES = 0.005, 40e6


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    require("llamacpp")
    one = Cli(tmp_path)
    yield one
    one.clean()


def test_an_idle_server_costs_next_to_nothing(cli: Cli) -> None:
    up = cli.json("up", "tiny", "--engine", "llamacpp", "-d", "--port", "0")["data"]
    keeper = psutil.Process(up["keeper"]["pid"])
    time.sleep(5)  # the start's own work is over
    before, began = keeper.cpu_times(), time.monotonic()
    time.sleep(_IDLE_S)
    after, seconds = keeper.cpu_times(), time.monotonic() - began
    share = (after.user + after.system - before.user - before.system) / seconds
    memory = keeper.memory_full_info()
    print(
        f"\nkeeper of an idle server: {share:.3%} of a core over {seconds:.0f} s (at most {_CORE_SHARE:.1%}), "
        f"{memory.uss / 1e6:.1f} MB of its own, {memory.rss / 1e6:.1f} MB resident "
        f"(at most {_MOST_BYTES / 1e6:.0f} MB), {keeper.num_threads()} threads, {keeper.num_fds()} descriptors"
    )
    assert cli.run("down").returncode == 0
    assert share <= _CORE_SHARE
    assert memory.rss <= _MOST_BYTES


def test_requests_do_not_pass_through_the_keeper(cli: Cli) -> None:
    """The keeper is stopped, and the server answers all the same."""
    up = cli.json("up", "tiny", "--engine", "llamacpp", "-d", "--port", "0")["data"]
    keeper = psutil.Process(up["keeper"]["pid"])
    keeper.suspend()
    try:
        assert all(completes(up["url"]) for _ in range(20))
    finally:
        keeper.resume()
    assert cli.run("down").returncode == 0
