"""Builds a managed environment: whole, or not at all."""

from __future__ import annotations

import contextlib
import datetime
import errno
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llmserve import __version__, paths
from llmserve.engine import environments, wheel
from llmserve.engine.environments import BUILDING, MANIFEST, Managed, Manifest, python_of
from llmserve.engine.recipes import Recipe, Step
from llmserve.errors import DoesNotFitError, InterruptedByUser, LlmserveError
from llmserve.output.text import GIB, duration
from llmserve.records import to_json

Note = Callable[[str], None]


def install(recipe: Recipe, note: Note, *, force: bool = False) -> tuple[Managed, bool]:
    """The environment of ``recipe``, and whether it was built now. ``force`` builds it anew.

    Raises:
        DoesNotFitError: the disk is too full.
        LlmserveError: a step failed; the hint names the log.
        InterruptedByUser: Ctrl-C; nothing is left of the build.
    """
    if not force and (ready := _existing(recipe)):
        return ready, False
    with environments.locked(lambda: note("Another llmserve is installing an engine; waiting for it.")) as lock:
        environments.clean()
        old = _existing(recipe)
        if old and not force:
            return old, False
        if old:
            environments.refuse_if_used(old)
        _check_disk(recipe)
        return _replace(old, _Build(recipe, note, lock)), True


def _replace(old: Managed | None, build: _Build) -> Managed:
    """Build, then put the result in the place of ``old``; whatever goes wrong, no half of it stays."""
    try:
        build.run()
        if old:
            environments.remove(old)
        target = paths.engines_dir() / build.recipe.name
        shutil.rmtree(target, ignore_errors=True)  # one that lost its Python, and so counts as none
        build.folder.rename(target)
    except KeyboardInterrupt as stop:
        build.log.unlink(missing_ok=True)
        raise InterruptedByUser("Interrupted: nothing was installed.") from stop
    except OSError as error:
        raise _disk_error(error, build.recipe) from error
    finally:
        shutil.rmtree(build.folder, ignore_errors=True)
    installed = _existing(build.recipe)
    assert installed
    return installed


def _existing(recipe: Recipe) -> Managed | None:
    target = paths.engines_dir() / recipe.name
    return next((item for item in environments.managed(recipe.engine) if item.path == target), None)


@dataclass
class _Build:
    recipe: Recipe
    note: Note
    lock: int

    def __post_init__(self) -> None:
        self.folder = paths.engines_dir() / f"{BUILDING}{self.recipe.name}-{os.getpid()}"
        self.log = paths.engines_dir() / f"{self.recipe.name}.log"
        self.temporary = self.folder / "tmp"
        self.started = time.monotonic()

    def run(self) -> None:
        """Every step; the folder is complete afterwards. A failure leaves the log."""
        _check_venv()
        with self.log.open("w", encoding="utf-8") as log:
            steps = self.recipe.steps
            total = len(steps) + 2
            self._announce(1, total, "a new environment")
            self._run(log, [sys.executable, "-I", "-m", "venv", str(self.folder)], "creating the environment")
            self.temporary.mkdir()
            for number, step in enumerate(steps, start=2):
                self._announce(number, total, step.title)
                self._pip(log, step)
            self._announce(total, total, "check")
            self._run(log, [str(python_of(self.folder)), "-I", "-c", self.recipe.check], "the check of the result")
            packages = self._packages()
        shutil.rmtree(self.temporary)
        _move_scripts(self.folder, paths.engines_dir() / self.recipe.name)
        self._write_manifest(packages)
        self.log.rename(self.folder / "install.log")

    def _announce(self, number: int, total: int, title: str) -> None:
        seconds = time.monotonic() - self.started
        self.note(f"step {number} of {total}: {title}{f' (after {duration(seconds)})' if seconds >= 1 else ''}")

    def _pip(self, log: IO[str], step: Step) -> None:
        arguments = step.arguments
        if step.source:
            arguments = ("--no-deps", "--no-index", str(wheel.pack(step.source, self.temporary)))
        # --no-user: a configuration with user = true would make pip refuse to install here
        pip = [str(python_of(self.folder)), "-I", "-m", "pip", "install", "--no-user", "--no-input"]
        if step.fallback and self._call(log, [*pip, *arguments]) == 0:
            return
        self._run(log, [*pip, *(step.fallback or arguments)], f"installing {step.title}", step.hint)

    def _run(self, log: IO[str], command: Sequence[str], what: str, hint: str = "") -> None:
        if self._call(log, command) != 0:
            raise _step_error(what, self.log, hint)

    def _call(self, log: IO[str], command: Sequence[str]) -> int:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        # pip's temporary files lie in the folder too: /tmp may be small, and they go when the folder goes.
        temporary = {"TMPDIR": str(self.temporary)} if self.temporary.is_dir() else {}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **temporary},
            pass_fds=(self.lock,),
        ) as process:
            try:
                return process.wait()
            except BaseException:
                _stop(process)
                raise

    def _packages(self) -> dict[str, str]:
        command = [str(python_of(self.folder)), "-I", "-m", "pip", "list", "--format=json"]
        done = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
        return {package["name"]: package["version"] for package in json.loads(done.stdout)}

    def _write_manifest(self, packages: dict[str, str]) -> None:
        manifest = Manifest(
            engine=self.recipe.engine,
            version=self.recipe.version,
            device=self.recipe.device,
            python=platform.python_version(),
            recipe=self.recipe.digest,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self.started, 1),
            size_bytes=_size(self.folder),
            packages=packages,
        )
        text = json.dumps({**to_json(manifest), "llmserve": __version__}, indent=2)
        paths.write_atomic(self.folder / MANIFEST, text, mode=0o644)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """pip removes its own leftovers on SIGINT; it gets a moment for that."""
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()


def _check_venv() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        raise LlmserveError(
            "This Python cannot make environments: its module ensurepip is missing.",
            hint=f"On Debian and Ubuntu: apt install {package}",
            code="no_ensurepip",
        )


def _check_disk(recipe: Recipe) -> None:
    folder = paths.engines_dir()
    free = shutil.disk_usage(folder).free
    if free < recipe.needs_bytes:
        raise DoesNotFitError(
            f"Installing {recipe.engine} takes {recipe.needs_bytes / GIB:.1f} GiB of disk; "
            f"{free / GIB:.1f} GiB are free at {folder}.",
            hint="Free some space, or set XDG_DATA_HOME to another disk.",
            code="disk_full",
            data={"needed_bytes": recipe.needs_bytes, "free_bytes": free},
        )


def _disk_error(error: OSError, recipe: Recipe) -> LlmserveError:
    kind = DoesNotFitError if error.errno == errno.ENOSPC else LlmserveError
    return kind(f"Installing {recipe.engine} failed: {error}.", hint=f"Check the disk of {paths.engines_dir()}.")


def _step_error(what: str, log: Path, hint: str) -> LlmserveError:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    said = (errors or lines or ["nothing was said"])[-1].rstrip(".")
    if "No space left on device" in said or "Errno 28" in said:
        return DoesNotFitError(
            f"The disk filled up: {said}.", hint=f"Free some space. The log: {log}", code="disk_full"
        )
    next_step = f"{hint} The whole log: {log}".strip()
    return LlmserveError(f"Failed at {what}: {said}.", hint=next_step, code="install_failed")


def _move_scripts(folder: Path, target: Path) -> None:
    """The environment's scripts name its folder; make it the name after the move."""
    for script in (folder / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if folder.name.encode() in content:
            script.write_bytes(content.replace(folder.name.encode(), target.name.encode()))


def _size(folder: Path) -> int:
    """Bytes on disk; files linked from a cache count in full."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
