"""Real engines, started by the real command line in a state folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmserve.engine import engines

ENGINES = [
    pytest.param("llamacpp", marks=pytest.mark.engine),
    pytest.param("sglang", marks=[pytest.mark.engine, pytest.mark.sglang]),
]


@dataclass
class Cli:
    """Runs ``llmserve`` as a user would, with its own state; ``mark`` finds every process that came of it."""

    home: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    env: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.time)

    @property
    def temporary(self) -> Path:
        """The folder for temporary files; not under ``home``, whose path is too long for Unix sockets."""
        folder = Path(tempfile.gettempdir()) / f"mark-{self.mark[:8]}"
        folder.mkdir(exist_ok=True)
        return folder

    def litter(self) -> list[Path]:
        """Temporary files, and shared memory that is newer than this test."""
        segments = [path for path in Path("/dev/shm").iterdir() if path.stat().st_mtime > self.began]
        return [*self.temporary.iterdir(), *(path for path in segments if path.name.startswith("sglang"))]

    def environment(self) -> dict[str, str]:
        own = {
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "LLMSERVE_TEST_MARK": self.mark,
            "COLUMNS": "100",
            "TMPDIR": str(self.temporary),
        }
        return {**os.environ, **own, **self.env}

    def popen(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "llmserve", *args], env=self.environment(), cwd=self.home, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options,
        )  # fmt: skip

    def run(
        self, *args: str, timeout: float = 400, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llmserve", *args], env={**self.environment(), **(env or {})}, cwd=self.home,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def json(self, *args: str, timeout: float = 400) -> Any:
        done = self.run(*args, "--json", timeout=timeout)
        return json.loads(done.stdout)

    def processes(self) -> dict[int, str]:
        """Everything alive that inherited our mark or works in our folder: pid -> command line.

        (SGLang's workers write their titles over the environment that /proc shows.)
        """
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                mark = f"LLMSERVE_TEST_MARK={self.mark}".encode()
                here = str((folder / "cwd").readlink()).startswith(str(self.home))
                if here or mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def clean(self) -> None:
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self.temporary, ignore_errors=True)


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A command line; whatever a failed test leaves running is ended."""
    one = Cli(tmp_path)
    yield one
    one.clean()


def require(engine: str) -> None:
    if engines()[engine].environment() is None:
        message = f"{engine} is not installed: llmserve engine install {engine}"
        if os.environ.get("LLMSERVE_TEST_ALL_ENGINES"):  # `make test` installs them, so a missing one is a failure
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session", params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The tiny model on each engine, without a key; the ``data`` that ``up --json`` printed."""
    yield from serve(request.param, tmp_path_factory, {})


KEY = "sk-canary-4242424242"


@pytest.fixture(scope="session", params=ENGINES)
def locked_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The same, requiring a key."""
    yield from serve(request.param, tmp_path_factory, {"LLMSERVE_API_KEY": KEY})


def serve(engine: str, factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[dict[str, Any]]:
    require(engine)
    cli = Cli(factory.mktemp(engine), env=env)
    try:
        body = cli.json(
            "up", "tiny", "--engine", engine, "-d", "--port", "0", "--concurrency", "4", "--context", "2048"
        )
        assert body["status"] == "ok", body
        yield {**body["data"], "cli": cli}
        down = cli.json("down", "--all")
        assert down["status"] == "ok", down
        assert cli.processes() == {}
        assert cli.litter() == []
    finally:
        cli.clean()
