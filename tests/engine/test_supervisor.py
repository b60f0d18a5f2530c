"""The supervisor on a real engine: what ended by itself is begun again, what was stopped stays so."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import KEY, Cli
from tests.engine.test_lifecycle import closed, ready, record, start, state_files, wait_for

embedded = pytest.mark.engine


@pytest.fixture
def tiny(cli: Cli) -> Iterator[dict[str, Any]]:
    """A detached server with a key; stopped at the end, and nothing of it is left."""
    cli.env = {"LLMSERVE_API_KEY": KEY}
    up = start(cli, "llamacpp", "-d")
    _, err = up.communicate(timeout=400)
    assert up.returncode == 0, err
    server = record(cli)
    yield server
    assert cli.run("down", "--all").returncode == 0
    wait_for(lambda: not cli.processes())
    assert closed(server["port"])
    assert state_files(cli) == []
    assert list(cli.temporary.iterdir()) == []


def again(cli: Cli, before: dict[str, Any]) -> dict[str, Any]:
    """The record once the engine that was there ``before`` has been replaced and is ready."""
    return dict(wait_for(lambda: (one := record(cli))["life"] > before["life"] and one["state"] == "ready" and one))


@embedded
def test_an_engine_that_ended_by_itself_is_begun_again_and_the_cause_stays_reachable(
    cli: Cli, tiny: dict[str, Any]
) -> None:
    os.kill(tiny["process"]["pid"], signal.SIGKILL)
    now = again(cli, tiny)
    assert now["restarts"] == 1
    assert (now["url"], now["keeper"]) == (tiny["url"], tiny["keeper"])
    assert now["process"] != tiny["process"]
    assert now["last_ending"]["failure"]["code"] == "killed"
    assert any("listening on" in line for line in now["last_ending"]["tail"])
    shown = cli.run("status").stdout
    assert "ready (1 restart)" in shown
    assert "killed from outside" in shown
    assert "Starting it again in 1 s" in cli.run("logs").stdout


@embedded
def test_stop_keeps_what_restart_needs(cli: Cli, tiny: dict[str, Any]) -> None:
    assert cli.json("stop", "tiny")["data"]["stopped"] == ["tiny"]
    assert closed(tiny["port"])
    assert record(cli)["state"] == "stopped"
    assert "tiny" not in cli.run("ps").stdout
    assert "listening on" in cli.run("logs").stdout
    done = cli.run("restart", "tiny")
    assert done.returncode == 0, done.stderr
    assert tiny["url"] in done.stdout
    assert cli.run("chat", "-m", "hello", "--max-tokens", "4").returncode == 0  # the key is the same
    files = [path for path in Path(tiny["directory"]).iterdir() if path.is_file()]
    assert [path.name for path in files if KEY in path.read_text(errors="replace")] == ["api-key"]


@embedded
def test_restart_begins_a_running_engine_anew_under_the_same_keeper(cli: Cli, tiny: dict[str, Any]) -> None:
    done = cli.json("restart", "tiny")
    (now,) = done["data"]["servers"]
    assert (now["state"], now["life"], now["restarts"]) == ("ready", 2, 0)
    assert (now["url"], now["keeper"]) == (tiny["url"], tiny["keeper"])
    assert now["process"] != tiny["process"]


@embedded
def test_the_keeper_stops_its_server_on_a_signal_and_ignores_closing_terminals(cli: Cli, tiny: dict[str, Any]) -> None:
    os.kill(tiny["keeper"]["pid"], signal.SIGHUP)
    assert cli.json("ps")["data"]["servers"][0]["state"] == "ready"
    os.kill(tiny["keeper"]["pid"], signal.SIGTERM)
    wait_for(lambda: record(cli)["state"] == "stopped")
    assert closed(tiny["port"])


@embedded
def test_a_paused_engine_is_called_so_and_can_be_stopped(cli: Cli, tiny: dict[str, Any]) -> None:
    os.kill(tiny["process"]["pid"], signal.SIGSTOP)
    wait_for(lambda: record(cli)["state"] == "paused")
    assert "kill -CONT" in cli.run("ps").stderr


@embedded
def test_a_damaged_record_of_a_live_server_is_mended_or_shown(cli: Cli, tiny: dict[str, Any]) -> None:
    file = Path(tiny["directory"]) / "server.json"
    file.write_text('{"version": 2, "na')
    body = cli.json("ps")["data"]
    assert [one["name"] for one in body["servers"] + body["unreadable"]] == ["tiny"]
    wait_for(lambda: record(cli).get("state") == "ready")


@embedded
def test_a_second_server_of_one_name_is_refused(cli: Cli, tiny: dict[str, Any]) -> None:
    second = cli.run("up", "tiny", "--engine", "llamacpp", "--name", "tiny", "-d", "--port", "0")
    assert second.returncode == 2
    assert "A server called 'tiny' is running" in second.stderr


@embedded
def test_following_a_log_ends_when_nobody_reads_any_more(cli: Cli, tiny: dict[str, Any]) -> None:
    follow = cli.popen("logs", "-f")
    assert follow.stdout
    assert follow.stdout.readline()
    follow.stdout.close()
    assert follow.wait(timeout=400) == 0
    assert follow.stderr
    assert follow.stderr.read() == ""
    follow.stderr.close()


@embedded
def test_a_service_manager_hears_when_it_is_ready_and_when_it_ends(cli: Cli) -> None:
    address = cli.temporary / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(400)
        cli.env = {"NOTIFY_SOCKET": str(address)}
        up = start(cli, "llamacpp", "--foreground")
        heard = ""
        while "READY=1" not in heard:
            heard = manager.recv(4096).decode()
        server = ready(cli)
        assert server["url"] in heard
        up.terminate()
        while "STOPPING=1" not in heard:
            heard = manager.recv(4096).decode()
        _, err = up.communicate(timeout=400)
    assert up.returncode == 0, err
    address.unlink()
    wait_for(lambda: not cli.processes())
    assert closed(server["port"])
    assert state_files(cli) == []
