"""A key that is looked for everywhere: command lines, environments, logs, state, JSON, errors."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserve.commands.card import OPEN_ROUTES
from tests.engine.conftest import ENGINES, require
from tests.servers.tally import TALLY
from tests.servers.world import NAME, PATIENCE, World, wait_for

KEY = "sk-canary-6b1d0f9e8c7a"


@pytest.fixture(params=ENGINES)
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    require(request.param)
    one = World(tmp_path, request.param)
    one.cli.env["LLMSERVE_API_KEY"] = KEY
    yield one
    one.close()


def processes_that_show_it(world: World) -> list[str]:
    """Of llmserve's own and the engine's. The commands that the user gave the variable to have it, of course."""
    own = {world.up.pid} if world.up else set()
    found = []
    for pid, command in world.cli.processes().items():
        for name in ("cmdline", "environ") if pid not in own else ("cmdline",):
            try:
                if KEY.encode() in Path(f"/proc/{pid}/{name}").read_bytes():
                    found.append(f"{name} of {pid}: {command}")
            except OSError:
                continue
    return found


def files_that_hold_it(world: World) -> set[str]:
    roots = (world.cli.home, world.cli.temporary)
    files = (path for root in roots for path in root.rglob("*") if path.is_file())
    return {path.name for path in files if KEY.encode() in path.read_bytes()}


ROUTES = (
    "/health", "/v1/health", "/ready", "/metrics", "/models", "/v1/models", "/props", "/slots", "/tokenize",
    "/server_info", "/get_server_info", "/model_info", "/get_model_info", "/get_load", "/v1/loads", "/flush_cache",
    "/openapi.json", "/docs",
)  # fmt: skip


def answers(url: str, path: str) -> bool:
    """Whether a caller without a key gets more than a refusal."""
    try:
        return bool(urllib.request.urlopen(url.removesuffix("/v1") + path, timeout=60).status == 200)
    except urllib.error.HTTPError:
        return False


def test_a_key_is_seen_nowhere(world: World) -> None:
    """While it loads, when it is ready, and after it was killed; in what every command prints of it."""
    world.start(detached=True)
    world.pid("launcher")
    assert processes_that_show_it(world) == []
    record = wait_for(lambda: (one := world.record()).get("state") == "ready" and one, "ready")
    world.reap()
    assert processes_that_show_it(world) == []
    assert files_that_hold_it(world) == {"api-key"}
    open_to_all = {path for path in ROUTES if answers(record["url"], path)}
    assert open_to_all == set(OPEN_ROUTES[world.engine]), "what `up` warns of where others reach the address"
    assert Path(record["key_file"]).stat().st_mode & 0o077 == 0
    said = [world.cli.run(*command, timeout=PATIENCE) for command in (
        ("ps", "--all", "--json"), ("status", NAME, "--json"), ("logs", NAME), ("connect", "curl", "--server", NAME),
        ("top", "--once", "--json"), ("up", "tiny", "--dry-run", "--json"),
        ("up", "tiny", "--name", NAME, "--engine", world.engine),  # refused
        ("chat", "--base-url", record["url"], "--api-key", "sk-wrong-key", "-m", "hi"),  # refused
    )]  # fmt: skip
    assert [done.args for done in said if KEY in done.stdout + done.stderr] == []
    os.kill(record["keeper"]["pid"], signal.SIGKILL)
    wait_for(lambda: not world.cli.processes(), "the engine ends with its keeper")
    crashed = world.cli.run("status", NAME, "--json", timeout=PATIENCE)
    assert KEY not in crashed.stdout + crashed.stderr
    assert files_that_hold_it(world) <= {"api-key"}
    world.down()
    assert files_that_hold_it(world) == set()
    world.nothing_left(record["port"])
    TALLY.count("a canary key")
