from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import psutil
import pytest

from llmserve import paths
from llmserve.engine import environments, install, wheel
from llmserve.engine.environments import MANIFEST
from llmserve.engine.recipes import Recipe, Step
from llmserve.errors import DoesNotFitError, InterruptedByUser, LlmserveError

Call = Callable[[install._Build, IO[str], Sequence[str]], int]
QUIET: list[str] = []


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "engines_dir", lambda: tmp_path / "engines")
    return tmp_path / "engines"


def toy(tmp_path: Path, *, check: str = "import toy", needs_bytes: int = 0) -> Recipe:
    """A recipe whose one package is made on the spot and needs no index."""
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    (source / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.5\n", encoding="utf-8")
    (source / "toy.py").write_text("", encoding="utf-8")
    return Recipe(
        engine="sglang",
        device="cpu",
        version="1.5",
        steps=(Step(title="toy", source=source),),
        check=check,
        needs_bytes=needs_bytes,
        inputs=tuple(wheel.sources(source)),
    )


def fake(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
    """What a step leaves behind, without the time that venv and pip take."""
    (build.folder / "bin").mkdir(parents=True, exist_ok=True)
    python = build.folder / "bin" / "python"
    if not python.exists():
        python.symlink_to(sys.executable)
    return 0


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Callable[[Call], None]:
    def use(call: Call) -> None:
        monkeypatch.setattr(install._Build, "_call", call)
        monkeypatch.setattr(install._Build, "_packages", lambda build: {"toy": "1.5"})

    use(fake)
    return use


@pytest.mark.usefixtures("fast")
def test_force_builds_it_anew(tmp_path: Path) -> None:
    recipe = toy(tmp_path)
    first, _ = install.install(recipe, QUIET.append)
    (first.path / "old").touch()
    second, built = install.install(recipe, QUIET.append, force=True)
    assert built
    assert second.path == first.path
    assert not (second.path / "old").exists()


@pytest.mark.usefixtures("fast")
def test_an_environment_whose_python_went_away_is_built_again(tmp_path: Path) -> None:
    recipe = toy(tmp_path)
    first, _ = install.install(recipe, QUIET.append)
    first.python.unlink()
    first.python.symlink_to("/gone/python3")
    assert environments.managed() == []
    second, built = install.install(recipe, QUIET.append)
    assert built
    assert second.python.exists()


@pytest.mark.usefixtures("fast")
def test_force_refuses_while_the_environment_is_in_use(tmp_path: Path) -> None:
    recipe = toy(tmp_path)
    item, _ = install.install(recipe, QUIET.append)
    with subprocess.Popen([str(item.python), "-c", "import time; time.sleep(60)"]) as process:
        with pytest.raises(LlmserveError, match="in use"):
            install.install(recipe, QUIET.append, force=True)
        process.kill()
    assert (item.path / MANIFEST).exists()


def test_a_failing_step_leaves_its_log_and_nothing_else(
    tmp_path: Path, folder: Path, fast: Callable[[Call], None]
) -> None:
    def call(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
        if "pip" in command:
            log.write("Looking in links\nERROR: No matching distribution found for toy==1.5\nhint: a hint\n")
            log.flush()
            return 1
        return fake(build, log, command)

    fast(call)
    recipe = toy(tmp_path)
    with pytest.raises(LlmserveError) as caught:
        install.install(recipe, QUIET.append)
    assert caught.value.message == "Failed at installing toy: No matching distribution found for toy==1.5."
    assert caught.value.hint == f"The whole log: {folder / recipe.name}.log"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", f"{recipe.name}.log"]
    assert environments.managed() == []


def test_a_failing_check_is_a_failed_install(tmp_path: Path, folder: Path, fast: Callable[[Call], None]) -> None:
    def call(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
        if command[-1] == "import nonsense":
            log.write("Traceback\nModuleNotFoundError: No module named 'nonsense'\n")
            log.flush()
            return 1
        return fake(build, log, command)

    fast(call)
    with pytest.raises(LlmserveError, match="the check of the result: ModuleNotFoundError: No module named 'nonsense'"):
        install.install(toy(tmp_path, check="import nonsense"), QUIET.append)
    assert environments.managed() == []


def test_a_full_disk_is_said_to_be_full(tmp_path: Path, fast: Callable[[Call], None]) -> None:
    def pip(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
        if "pip" in command:
            log.write("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n")
            log.flush()
            return 1
        return fake(build, log, command)

    def own(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for call in (pip, own):
        fast(call)
        with pytest.raises(DoesNotFitError, match="No space left on device"):
            install.install(toy(tmp_path), QUIET.append)
        assert environments.managed() == []


def test_too_little_disk_is_refused_before_anything_is_done(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 8, 2 * 1024**3))
    with pytest.raises(DoesNotFitError, match=r"takes 4\.0 GiB of disk; 2\.0 GiB are free at ") as caught:
        install.install(toy(tmp_path, needs_bytes=4 * 1024**3), QUIET.append)
    assert caught.value.exit_code == 3
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_ctrl_c_removes_the_half(tmp_path: Path, folder: Path, fast: Callable[[Call], None]) -> None:
    def call(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
        fake(build, log, command)
        if "pip" in command:
            raise KeyboardInterrupt
        return 0

    fast(call)
    with pytest.raises(InterruptedByUser):
        install.install(toy(tmp_path), QUIET.append)
    assert [path.name for path in folder.iterdir()] == [".lock"]


SLOW_INSTALL = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_install
from llmserve import paths
from llmserve.engine import install
from llmserve.engine.recipes import Step
paths.engines_dir = lambda: Path({folder!r})
def packages(build):
    build._call(open(build.log, "a"), [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"])
install._Build._pip = lambda build, log, step: packages(build)
real = install._Build._call
install._Build._call = lambda build, log, command: (
    real if "time.sleep" in command[-1] else test_install.fake)(build, log, command)
install.install(test_install.toy(Path({tmp!r})), print)
"""


def slow_install(tmp_path: Path, folder: Path) -> subprocess.Popen[bytes]:
    """An install in a process of its own, stuck in a step."""
    code = SLOW_INSTALL.format(here=str(Path(__file__).parent), folder=str(folder), tmp=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not any("up" in log.read_text(encoding="utf-8").split() for log in folder.glob("*.log")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    return process


def test_an_interrupt_from_outside_ends_the_step_and_cleans_up(tmp_path: Path, folder: Path) -> None:
    with slow_install(tmp_path, folder) as process:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_killed_install_is_cleaned_up_by_the_next(tmp_path: Path, folder: Path, fast: object) -> None:
    with slow_install(tmp_path, folder) as process:
        children = psutil.Process(process.pid).children()
        process.kill()
    half = next(folder.glob(".building-*"))
    assert environments.managed() == []
    environments.tidy()
    assert half.exists(), "the step of the dead install still runs, and still has the lock"

    for child in children:
        child.kill()
    psutil.wait_procs(children, timeout=10)
    item, built = install.install(toy(tmp_path), QUIET.append)
    assert built
    assert sorted(path.name for path in folder.iterdir()) == [".lock", item.path.name]


def test_two_installs_do_the_work_once_and_the_second_says_that_it_waits(
    tmp_path: Path, fast: Callable[[Call], None]
) -> None:
    waiting, builds, results = threading.Event(), [], []

    def call(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
        if "venv" in command:
            builds.append(command)
            assert waiting.wait(10)
        return fake(build, log, command)

    def note(text: str) -> None:
        if text == "Another llmserve is installing an engine; waiting for it.":
            waiting.set()

    fast(call)
    recipe = toy(tmp_path)
    threads = [threading.Thread(target=lambda: results.append(install.install(recipe, note))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(builds) == 1
    assert sorted(built for _, built in results) == [False, True]


def test_a_fallback_is_tried_when_the_first_source_has_nothing(tmp_path: Path, fast: Callable[[Call], None]) -> None:
    tried: list[Sequence[str]] = []

    def call(build: install._Build, log: IO[str], command: Sequence[str]) -> int:
        if "pip" in command:
            tried.append(command[command.index("install") :])
            return 0 if "--extra-index-url" in command else 1
        return fake(build, log, command)

    fast(call)
    step = Step(title="torch", arguments=("torch==1+cpu",), fallback=("--extra-index-url", "u", "torch==1+cpu"))
    recipe = Recipe(engine="sglang", device="cpu", version="1", steps=(step,), check="", needs_bytes=0, inputs=())
    install.install(recipe, QUIET.append)
    assert [command[-1] for command in tried] == ["torch==1+cpu"] * 2
    assert "--extra-index-url" not in tried[0]


def test_a_step_can_say_what_to_try(tmp_path: Path, folder: Path, fast: Callable[[Call], None]) -> None:
    fast(lambda build, log, command: int("pip" in command) or fake(build, log, command))
    step = Step(title="torch", arguments=("torch==1+cpu",), hint="Set THIS.")
    recipe = Recipe(engine="sglang", device="cpu", version="1", steps=(step,), check="", needs_bytes=0, inputs=())
    with pytest.raises(LlmserveError) as caught:
        install.install(recipe, QUIET.append)
    assert caught.value.hint == f"Set THIS. The whole log: {folder / recipe.name}.log"


def test_pip_keeps_the_users_settings_but_no_pythonpath(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: object
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(paths, "engines_dir", lambda: tmp_path / "engines")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    build = install._Build(toy(tmp_path), QUIET.append, os.open(tmp_path, os.O_RDONLY))
    build.temporary.mkdir(parents=True)
    code = "import os, sys; print(os.environ['PIP_FIND_LINKS'], os.environ['TMPDIR'])"
    with (tmp_path / "out").open("w+", encoding="utf-8") as log:
        assert build._call(log, [sys.executable, "-c", code]) == 0
    os.close(build.lock)
    assert (tmp_path / "out").read_text(encoding="utf-8").splitlines()[-1] == f"/wheels {build.temporary}"


def test_a_python_without_ensurepip_names_the_package(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LlmserveError, match="ensurepip is missing") as caught:
        install.install(toy(tmp_path), QUIET.append)
    assert f"python{sys.version_info.major}.{sys.version_info.minor}-venv" in (caught.value.hint or "")


def test_the_manifest_says_what_was_installed(tmp_path: Path, fast: object) -> None:
    item, _ = install.install(toy(tmp_path), QUIET.append)
    data = json.loads((item.path / MANIFEST).read_text(encoding="utf-8"))
    assert data["engine"] == "sglang"
    assert data["packages"] == {"toy": "1.5"}
    assert data["recipe"] == toy(tmp_path).digest
    assert data["created"].endswith("+00:00")
