"""A server under fault: started by the real command line, watched through its record and its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.engine.conftest import Cli
from tests.servers.tally import TALLY

NAME = "one"
PATIENCE = 600.0
"""Seconds for whatever must happen; much more than it takes, as machines are loaded."""


_SCAN = 0.1
"""Seconds between two looks at every process of the machine, which take a while themselves."""


def wait_for(condition: Callable[[], Any], what: str, *, pause: float = 0.02, timeout: float = PATIENCE) -> Any:
    """Poll until ``condition()`` is true, and return what it said."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(pause)
    raise AssertionError(f"it did not happen within {timeout:g} s: {what}")


def alive(pid: int) -> bool:
    """Whether the process runs or is stopped; a zombie is dead."""
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class World:
    """One home folder with one server at a time; beside it a bystander whose command line looks like an engine's."""

    def __init__(self, home: Path, engine: str = "llamacpp") -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.cli = Cli(home)
        self.engine = engine
        self.up: subprocess.Popen[str] | None = None
        self.bystander = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import time; time.sleep(36000)",
                "runner.py",
                "--alias",
                "tiny",
                "sglang::scheduler",
            ]
        )

    def close(self) -> None:
        self.bystander.kill()
        self.bystander.wait()
        self.cli.clean()
        self.reap()

    def start(self, *more: str, detached: bool = False) -> None:
        """``up`` in its own process; it does not wait."""
        TALLY.note_start()
        options = ("--port", "0", "--name", NAME, *(("-d",) if detached else ()), *more)
        self.up = self.cli.popen("up", "tiny", "--engine", self.engine, *options)

    def ready(self) -> dict[str, Any]:
        """The record of the server once it is ready."""
        return dict(wait_for(lambda: (one := self.record()).get("state") == "ready" and one, "ready"))

    def reap(self) -> tuple[int, str]:
        """The exit code of ``up`` and what it wrote to stderr; waits for its end."""
        if self.up is None:
            return 0, ""
        _, err = self.up.communicate(timeout=PATIENCE)
        code, self.up = self.up.returncode, None
        return code, err

    @property
    def folder(self) -> Path:
        return self.cli.home / "state/llmserve/servers" / NAME

    def record(self) -> dict[str, Any]:
        """The record as it stands on the disk; empty where there is none."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.folder / "server.json").read_text(encoding="utf-8")))
        return {}

    def log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        return ""

    def pid(self, role: str) -> int:
        """The process in a role: up, keeper, launcher, or one of SGLang's workers by its title."""
        if role == "up":
            assert self.up is not None
            return self.up.pid
        if role in ("keeper", "launcher"):
            return int(wait_for(lambda: self.record().get("keeper" if role == "keeper" else "process"), role)["pid"])
        found = wait_for(lambda: [pid for pid, title in self.cli.processes().items() if role in title], role)
        return int(found[0])

    def family(self) -> list[int]:
        """The engine's processes, alive now."""
        process = self.record().get("process")
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(int(process["pid"])) if process else None
            return [one.pid for one in (root, *root.children(recursive=True))] if root else []
        return []

    def completes(self) -> bool:
        """Whether the address of the record answers a real completion now."""
        return completes(self.record().get("url", ""))

    def ps(self) -> dict[str, Any]:
        """What ``ps --all`` says of the server; empty when it knows none."""
        servers = self.cli.json("ps", "--all", timeout=PATIENCE)["data"]["servers"]
        return next((dict(one) for one in servers if one["name"] == NAME), {})

    def down(self, *more: str) -> None:
        done = self.cli.run("down", "--all", *more, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr

    def nothing_left(self, port: int | None) -> None:
        """No process, no open port, no file but what is kept on purpose; and nobody else was touched."""
        try:
            wait_for(lambda: not self.cli.processes(), "no orphan", pause=_SCAN, timeout=60)
        except AssertionError as error:
            left = self.cli.processes()
            TALLY.note_orphans(len(left))
            raise AssertionError(f"orphans: {left}") from error
        assert port is None or closed(port), f"port {port} is still open"
        kept = {".lock", "starts.jsonl", ".starts.lock"}
        files = [path for path in (self.cli.home / "state").rglob("*") if path.is_file() and path.name not in kept]
        assert files == [], "files are left"
        assert list(self.cli.temporary.iterdir()) == [], "temporary files are left"
        assert self.bystander.poll() is None, "a process that is none of llmserve's was killed"


def completes(url: str, timeout: float = 30.0) -> bool:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(request, timeout=timeout) as answer:
        return "choices" in json.load(answer)
    return False


def closed(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


@contextlib.contextmanager
def streaming(url: str) -> Any:
    """A long answer under way: its first line has been read."""
    body = {
        "model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 1900,
        "ignore_eos": True,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    answer = urllib.request.urlopen(request, timeout=PATIENCE)
    try:
        assert answer.readline()
        yield answer
    finally:
        answer.close()
