"""What machines and people do to servers: full disks, damaged records, races, clocks, closed terminals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import require
from tests.servers.tally import TALLY
from tests.servers.world import NAME, PATIENCE, World, alive, completes, wait_for

pytestmark = pytest.mark.engine
GROUP = "disasters, llama.cpp"


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A home; afterwards its server is ended, and one more start works."""
    require("llamacpp")
    one, before = World(tmp_path), request.session.testsfailed
    try:
        yield one
        one.down("--grace", "2")
        one.reap()
        one.nothing_left(None)
        one.start(detached=True)
        port = one.ready()["port"]
        one.down()
        one.reap()
        one.nothing_left(port)
    finally:
        TALLY.count(GROUP, failed=request.session.testsfailed > before)
        one.close()


def served(world: World, *more: str) -> dict[str, Any]:
    world.start(*more, detached=True)
    record = world.ready()
    code, err = world.reap()
    assert code == 0, err
    return record


DAMAGES: dict[str, Callable[[str], str]] = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "garbage": lambda _: "\0\xff not json",
    "no-table": lambda _: "[1, 2, 3]",
    "newer-version": lambda text: json.dumps(json.loads(text) | {"version": 99, "shape": "unknown"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_cannot_be_read(world: World, damage: str) -> None:
    """The server goes on, a second one of that name is refused or takes another name, and ``down`` ends it."""
    record = served(world)
    path = world.folder / "server.json"
    path.write_text(DAMAGES[damage](path.read_text(encoding="utf-8")), encoding="utf-8")
    done = world.cli.run("ps", "--all", "--json", timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert completes(record["url"])
    second = world.cli.run("up", "tiny", "--engine", "llamacpp", "--port", "0", "--name", NAME, "-d", timeout=PATIENCE)
    assert second.returncode == 2, second.stdout + second.stderr
    assert alive(record["process"]["pid"])
    world.down("--grace", "2")
    assert not alive(record["process"]["pid"])


def test_two_at_once_for_one_name(world: World) -> None:
    ups = [world.cli.popen("up", "tiny", "--engine", "llamacpp", "--port", "0", "--name", NAME, "-d") for _ in range(2)]
    codes = sorted((up.communicate(timeout=PATIENCE), up.returncode)[1] for up in ups)
    assert codes == [0, 2], "one is served, one is refused"
    assert completes(world.ready()["url"])


def test_two_at_once_for_one_port(world: World) -> None:
    port = str(free_port())
    names = ("a", "b")
    ups = [
        world.cli.popen("up", "tiny", "--engine", "llamacpp", "--port", port, "--name", name, "-d") for name in names
    ]
    ends = [(up.communicate(timeout=PATIENCE), up.returncode) for up in ups]
    assert sorted(code for _, code in ends) == [0, 1], ends
    refused = next(err for (_, err), code in ends if code == 1)
    assert f"Port {port} is in use" in refused


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("jump", [-400 * 86400.0, 400 * 86400.0], ids=["back", "ahead"])
def test_the_clock_jumps(world: World, jump: float) -> None:
    """The record's times are those of a clock that was a year off; processes are known by the kernel's ticks."""
    record = served(world)
    path = world.folder / "server.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    times = {name: value + jump for name, value in data.items() if name.endswith("_at") and value}
    path.write_text(json.dumps(data | times), encoding="utf-8")
    said = world.ps()
    assert said["state"] == "ready"
    assert said["uptime_s"] >= 0
    assert completes(record["url"])
    assert world.cli.run("logs", NAME, "--tail", "1", timeout=PATIENCE).returncode == 0


def test_a_pid_that_another_program_has_now(world: World) -> None:
    """The server was killed whole; its record names pids that belong to a bystander."""
    record = served(world)
    for role in ("keeper", "process"):
        os.kill(record[role]["pid"], signal.SIGKILL)
    wait_for(lambda: not world.cli.processes(), "all killed")
    path = world.folder / "server.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for role in ("keeper", "process"):
        data[role] = record[role] | {"pid": world.bystander.pid}
    path.write_text(json.dumps(data), encoding="utf-8")
    assert world.ps()["state"] == "died"
    world.down()
    assert world.bystander.poll() is None


def test_the_clock_jumps_under_a_server_that_runs(world: World) -> None:
    """Everything of llmserve and the engine's Python sees a clock that somebody sets by more than a year, twice."""
    clock = world.cli.home / "clock"
    clock.mkdir()
    (clock / "offset").write_text("0")
    (clock / "sitecustomize.py").write_text(_CLOCK, encoding="utf-8")
    world.cli.env |= {"PYTHONPATH": str(clock), "LLMSERVE_TEST_CLOCK": str(clock / "offset")}
    record = served(world)
    for number, days in enumerate((-400, 400), start=1):
        (clock / "offset").write_text(str(days * 86400))
        os.kill(world.pid("launcher"), signal.SIGKILL)
        wait_for(lambda: world.record().get("restarts", 0) == number and world.ready(), "a restart")  # noqa: B023
        said = world.ps()
        assert (said["state"], said["port"]) == ("ready", record["port"])
        assert 0 <= said["uptime_s"] < PATIENCE
        assert completes(record["url"])
        recent = world.cli.run("logs", NAME, "--since", "30m", timeout=PATIENCE)
        assert "listening on" in recent.stdout, recent.stderr
    world.down("--grace", "1")


_CLOCK = """
import os, pathlib, time
_true, _offset = time.time, pathlib.Path(os.environ["LLMSERVE_TEST_CLOCK"])
time.time = lambda: _true() + float(_offset.read_text() or 0)
"""


def test_a_state_folder_that_another_machine_shares(world: World) -> None:
    """Its servers are shown as its own; their process ids mean nothing here, and nobody is stopped by them."""
    served(world)
    path = world.folder / "server.json"
    here = path.read_text(encoding="utf-8")
    os.kill(world.pid("keeper"), signal.SIGSTOP)  # it would mend its record
    data = json.loads(here)
    bystander = {"pid": world.bystander.pid, "started": 1.0, "boot": "another-boot"}
    there = {"place": {"host": "gpu-7", "machine": "f" * 32, "pids": "pid:[1]"}}
    path.write_text(json.dumps(data | there | {"keeper": bystander, "process": bystander}), encoding="utf-8")
    assert world.ps()["state"] == "elsewhere"
    for command in (("down", NAME), ("stop", NAME), ("restart", NAME)):
        done = world.cli.run(*command, timeout=PATIENCE)
        assert (done.returncode, "belongs to gpu-7" in done.stderr) == (1, True), done.stderr
    second = world.cli.run("up", "tiny", "--engine", "llamacpp", "--port", "0", "--name", NAME, "-d", timeout=PATIENCE)
    assert second.returncode == 2, "the name is taken"
    path.write_text(here, encoding="utf-8")
    os.kill(world.pid("keeper"), signal.SIGCONT)
    assert world.completes()


@pytest.mark.parametrize("when", ["loading", "ready"])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "foreground"])
def test_the_terminal_is_closed(world: World, detached: bool, when: str) -> None:
    """A detached server survives it, also one that is not ready yet; one in the foreground ends with it."""
    terminal, other = pty.openpty()
    words = ["up", "tiny", "--engine", "llamacpp", "--port", "0", "--name", NAME, *(["-d"] if detached else [])]
    up = subprocess.Popen(
        [sys.executable, "-c", _OWN_TERMINAL, *words], env=world.cli.environment(), cwd=world.cli.home,
        stdin=other, stdout=other, stderr=other, start_new_session=True,
    )  # fmt: skip
    os.close(other)
    over = threading.Event()
    reader = threading.Thread(target=_read, args=(terminal, over), daemon=True)
    reader.start()
    engine = world.pid("launcher")
    if when == "loading":
        os.kill(engine, signal.SIGSTOP)
        wait_for(lambda: world.record().get("detached") or not detached, "up has left it alone")
    else:
        world.ready()
    over.set()
    reader.join(PATIENCE)
    os.close(terminal)  # the kernel hangs up: SIGHUP to the session, errors for whoever writes
    up.wait(PATIENCE)
    os.kill(engine, signal.SIGCONT) if alive(engine) else None
    if detached:
        assert completes(world.ready()["url"])
    else:
        wait_for(lambda: not world.cli.processes(), "the server ends with its terminal")


_OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "llmserve", *sys.argv[1:]])
"""


def _read(terminal: int, over: threading.Event) -> None:
    """Until it is over, or nobody has the terminal's other end any more."""
    while not over.is_set():
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:
                return


def test_up_on_a_full_disk(world: World) -> None:
    """It says so in a sentence, and leaves nothing that would keep the next one from working."""
    state = world.cli.home / "state"
    state.mkdir()
    if not mounted(state, "size=2m"):
        TALLY.skipped.append("Not tried: up on a full disk; no file system can be mounted here.")
        pytest.skip("no file system can be mounted here")
    try:
        fill(state / "ballast")
        done = world.cli.run(
            "up", "tiny", "--engine", "llamacpp", "--port", "0", "--name", NAME, "-d", timeout=PATIENCE
        )
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert "No space left on device" in done.stderr
        assert world.cli.processes() == {}
        (state / "ballast").unlink()
        assert completes(served(world)["url"])
        world.down()
        world.nothing_left(None)
    finally:
        world.cli.clean()
        subprocess.run(["umount", "-l", str(state)], check=False)


def test_a_full_disk_stops_neither_server_nor_commands(world: World) -> None:
    state = world.cli.home / "state"
    state.mkdir()
    if not mounted(state, "size=2m"):
        TALLY.skipped.append("Not tried: a full disk; no file system can be mounted here.")
        pytest.skip("no file system can be mounted here")
    try:
        record = served(world)
        fill(state / "ballast")
        for _ in range(50):
            assert completes(record["url"]), "each request is a line of log that finds no room"
        assert world.ps()["state"] == "ready"
        (state / "ballast").unlink()
        assert completes(record["url"])
        world.down("--grace", "2")
        world.nothing_left(record["port"])
    finally:
        world.cli.clean()
        subprocess.run(["umount", "-l", str(state)], check=False)


def test_a_disk_that_stays_full_does_not_keep_a_server_from_being_stopped(world: World) -> None:
    state = world.cli.home / "state"
    state.mkdir()
    if not mounted(state, "size=2m"):
        TALLY.skipped.append("Not tried: a disk that stays full; no file system can be mounted here.")
        pytest.skip("no file system can be mounted here")
    try:
        record = served(world)
        fill(state / "ballast")
        world.down("--grace", "2")
        assert not alive(record["process"]["pid"])
        (state / "ballast").unlink()
    finally:
        world.cli.clean()
        subprocess.run(["umount", "-l", str(state)], check=False)


def fill(file: Path) -> None:
    """Write until the disk has no room for another byte."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        for size in (65536, 1):
            with contextlib.suppress(OSError):
                while ballast.write(b"x" * size):
                    pass


def mounted(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return bool(shutil.which("mount")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


async def _ask(host: str, port: int) -> str:
    """One request: an answer, or how it failed. Nothing may hang."""
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = await reader.read()
        writer.close()
    except OSError:
        return "refused"
    return answer[9:12].decode() or "cut"


async def _all(host: str, port: int, restart: list[str], environment: dict[str, str]) -> Counter[str]:
    """Five hundred clients that ask again and again until the restart is over, and how each request ended."""
    ends: Counter[str] = Counter()
    over = asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            ends[end := await _ask(host, port)] += 1
            if end == "refused":
                await asyncio.sleep(0.05)

    clients = [asyncio.create_task(client()) for _ in range(500)]
    while not ends["200"]:
        await asyncio.sleep(0.01)
    done = await asyncio.create_subprocess_exec(
        *restart, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, err = await done.communicate()
    over.set()
    assert done.returncode == 0, err.decode()
    await asyncio.wait_for(asyncio.gather(*clients), PATIENCE)
    last = await asyncio.wait_for(asyncio.gather(*(_ask(host, port) for _ in range(500))), PATIENCE)
    assert Counter(last) == {"200": 500}, "the server that was started again answers all at once"
    return ends


def test_five_hundred_requests_during_a_restart(world: World) -> None:
    record = served(world)
    restart = [sys.executable, "-m", "llmserve", "restart", NAME, "--grace", "2"]
    ends = asyncio.run(_all("127.0.0.1", record["port"], restart, world.cli.environment()))
    assert set(ends) <= {"200", "refused", "cut", "503", "500"}, ends
    TALLY.figures.append(f"500 clients during a restart, their requests by how they ended: {dict(ends)}")
    again = world.ready()
    assert again["port"] == record["port"]
    assert again["process"]["pid"] != record["process"]["pid"]
    assert completes(again["url"])
