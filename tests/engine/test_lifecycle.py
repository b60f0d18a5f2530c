"""Signals at every moment: whatever ends a server, nothing of it stays, and the exit code says what happened."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.engine.conftest import ENGINES, Cli, require

both_engines = pytest.mark.parametrize("engine", ENGINES)
embedded = pytest.mark.engine


def wait_for(condition: Callable[[], Any], timeout: float = 400) -> Any:
    """Poll until ``condition()`` is true, and return what it said."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def record(cli: Cli) -> dict[str, Any]:
    """The newest server on disk, as ``ps --all`` has it."""
    servers = cli.json("ps", "--all")["data"]["servers"]
    return dict(servers[0]) if servers else {}


def ready(cli: Cli) -> dict[str, Any]:
    return dict(wait_for(lambda: (one := record(cli)).get("state") == "ready" and one))


def closed(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def state_files(cli: Cli) -> list[Path]:
    """What a server left; what its start was like is kept on purpose (``llmserve plan --history``)."""
    kept = {".lock", "starts.jsonl", ".starts.lock"}
    return [path for path in (cli.home / "state").rglob("*") if path.is_file() and path.name not in kept]


def nothing_left(cli: Cli, port: int) -> None:
    wait_for(lambda: not cli.processes(), 15)
    assert closed(port)
    assert state_files(cli) == []
    assert cli.litter() == []


def start(cli: Cli, engine: str, *more: str) -> subprocess.Popen[str]:
    require(engine)
    return cli.popen("up", "tiny", "--engine", engine, "--port", "0", *more)


@both_engines
def test_ctrl_c_stops_a_ready_server_and_leaves_nothing(cli: Cli, engine: str) -> None:
    up = start(cli, engine)
    server = ready(cli)
    up.send_signal(signal.SIGINT)
    out, err = up.communicate(timeout=400)
    assert up.returncode == 130, err
    assert "nothing is left running" in err
    assert server["url"] in out
    nothing_left(cli, server["port"])


@both_engines
def test_ctrl_c_while_loading_stops_it_as_well(cli: Cli, engine: str) -> None:
    up = start(cli, engine)
    server = wait_for(lambda: (one := record(cli)).get("process") and one)
    up.send_signal(signal.SIGINT)
    _, err = up.communicate(timeout=400)
    assert up.returncode == 130, err
    nothing_left(cli, server["port"])


@both_engines
def test_an_engine_that_dies_is_told_from_one_that_was_stopped(cli: Cli, engine: str) -> None:
    up = start(cli, engine, "--no-restart")
    server = ready(cli)
    os.kill(server["process"]["pid"], signal.SIGKILL)
    _, err = up.communicate(timeout=400)
    assert up.returncode == 6, err
    assert "Traceback" not in err
    wait_for(lambda: not cli.processes(), 15)
    assert record(cli)["state"] == "failed"
    assert cli.litter() == []
    assert closed(server["port"])


@embedded
def test_sigterm_is_a_good_end(cli: Cli) -> None:
    up = start(cli, "llamacpp")
    server = ready(cli)
    up.terminate()
    up.communicate(timeout=400)
    assert up.returncode == 0
    nothing_left(cli, server["port"])


@embedded
@pytest.mark.parametrize("victim", ["up", "keeper"])
def test_killing_any_process_of_ours_ends_the_engine(cli: Cli, victim: str) -> None:
    up = start(cli, "llamacpp")
    server = ready(cli)
    os.kill(up.pid if victim == "up" else server["keeper"]["pid"], signal.SIGKILL)
    up.communicate(timeout=400)
    wait_for(lambda: not cli.processes(), 15)
    assert closed(server["port"])
    assert victim == "up" or record(cli)["state"] == "died"
    assert cli.run("down", "--all").returncode == 0
    assert state_files(cli) == []
    assert cli.litter() == []


@embedded
def test_a_detached_server_survives_its_parent_and_answers_running_requests_when_it_stops(cli: Cli) -> None:
    up = start(cli, "llamacpp", "-d")
    up.communicate(timeout=400)
    assert up.returncode == 0
    server = record(cli)
    assert server["state"] == "ready"
    assert server["detached"]
    down = cli.json("down", "tiny")
    assert down["data"]["stopped"] == ["tiny"]
    nothing_left(cli, server["port"])


def stream(server: dict[str, Any], tokens: int) -> Any:
    """A streamed answer whose first line has been read."""
    body = {
        "model": server["model"], "messages": [{"role": "user", "content": "hi"}], "stream": True, "ignore_eos": True,
        "max_tokens": tokens,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{server['url']}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    answer = urllib.request.urlopen(request, timeout=120)
    assert answer.readline()
    return answer


@embedded
def test_running_answers_have_their_grace_and_down_says_which_were_cut(cli: Cli) -> None:
    """``--ctx-shift`` lets an answer grow for ever: that one has to be cut, whatever the machine's pace."""
    start(cli, "llamacpp", "-d", "--", "--ctx-shift").communicate(timeout=400)
    server = record(cli)
    with stream(server, 10_000_000):
        down = cli.json("down", "--grace", "0.5")
    clients = [f"{psutil.Process().name()} (pid {os.getpid()})"]
    assert down["data"]["answers"] == {"tiny": {"running": 1, "finished": 0, "cut": 1, "clients": clients}}
    nothing_left(cli, server["port"])


@both_engines
def test_an_answer_that_can_finish_within_its_grace_is_finished(cli: Cli, engine: str) -> None:
    start(cli, engine, "-d").communicate(timeout=400)
    server = record(cli)
    with stream(server, 200) as answer:
        down = cli.popen("down", "--grace", "100")
        text = answer.read().decode()
    out, _ = down.communicate(timeout=400)
    assert text.rstrip().endswith("data: [DONE]")
    assert "cut" not in out
    nothing_left(cli, server["port"])


@pytest.mark.engine
@pytest.mark.sglang
def test_workers_that_outlive_their_keeper_are_ended_by_down(cli: Cli) -> None:
    up = start(cli, "sglang", "-d")
    server = wait_for(lambda: (one := record(cli)).get("process") and one)
    wait_for(lambda: any("detokenizer" in command for command in cli.processes().values()))
    os.kill(server["keeper"]["pid"], signal.SIGKILL)
    up.communicate(timeout=400)
    assert cli.run("down").returncode == 0
    assert cli.processes() == {}
    assert cli.litter() == []


@embedded
def test_two_at_once_take_two_names_and_two_ports(cli: Cli) -> None:
    both = [cli.popen("up", "tiny", "--engine", "llamacpp", "-d", "--json") for _ in range(2)]
    bodies = [json.loads(up.communicate(timeout=400)[0]) for up in both]
    assert sorted(body["data"]["name"] for body in bodies) == ["tiny", "tiny-2"]
    assert len({body["data"]["port"] for body in bodies}) == 2
    assert "Several servers" in cli.run("down").stderr
    assert cli.json("down", "--all")["data"]["stopped"]
    assert cli.processes() == {}


@embedded
def test_following_the_log_ends_with_the_server(cli: Cli) -> None:
    start(cli, "llamacpp", "-d").communicate(timeout=400)
    follow = cli.popen("logs", "-f")
    wait_for(lambda: psutil.pid_exists(follow.pid))
    time.sleep(1)
    cli.run("down")
    out, _ = follow.communicate(timeout=15)
    assert follow.returncode == 0
    assert "listening on" in out
