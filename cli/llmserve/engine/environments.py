"""Python environments that can run an engine: those llmserve built, and the one it runs in.

A managed environment is a folder of ``paths.engines_dir()``. It is built under another name and renamed when it is
whole, so a folder with a manifest is complete; whatever else lies there was left by an interrupted build or removal.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmserve import paths
from llmserve.engine.base import Device, Environment
from llmserve.errors import LlmserveError
from llmserve.records import from_json

if TYPE_CHECKING:  # it takes 10 ms to import, and is needed when environments are removed
    import psutil

MANIFEST = "llmserve-environment.json"
BUILDING, REMOVING = ".building-", ".removing-"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was installed: ``python`` is its version, ``created`` an ISO time in UTC, ``packages`` name -> version."""

    engine: str
    version: str
    device: Device
    python: str
    recipe: str
    created: str
    seconds: float
    size_bytes: int
    packages: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Managed:
    """A complete environment that llmserve built."""

    path: Path
    manifest: Manifest

    @property
    def python(self) -> Path:
        return python_of(self.path)

    def environment(self) -> Environment:
        return Environment(
            engine=self.manifest.engine,
            version=self.manifest.version,
            python=str(self.python),
            managed=True,
            path=str(self.path),
            device=self.manifest.device,
        )


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def managed(engine: str | None = None) -> list[Managed]:
    """Complete environments, the newest first; all engines, or one."""
    found = [_read(path.parent) for path in paths.engines_dir().glob(f"*/{MANIFEST}")]
    known = [item for item in found if item and engine in (None, item.manifest.engine)]
    return sorted(known, key=lambda item: item.manifest.created, reverse=True)


def find(engine: str, *, distribution: str, module: str, device: Device | None = None) -> Environment | None:
    """The best environment for ``engine``: a managed one, else the current interpreter, else None.

    Of several managed ones, those for ``device`` (default: what this machine has) come first, then those of the
    present recipe, then the newest. Imports nothing of the engine.
    """
    known = managed(engine)
    if len(known) > 1:
        from llmserve.engine import recipes

        wanted = device or ("gpu" if recipes.gpu_present() else "cpu")
        present = recipes.digests(engine)
        known.sort(key=lambda item: (item.manifest.device != wanted, item.manifest.recipe not in present))
    return known[0].environment() if known else current(engine, distribution=distribution, module=module)


def current(engine: str, *, distribution: str, module: str) -> Environment | None:
    """The interpreter that runs llmserve, if ``engine`` is installed there."""
    with contextlib.suppress(ImportError, ValueError):
        if importlib.util.find_spec(module) is None:
            return None
        from importlib import metadata

        version: str | None = metadata.version(distribution)
        if not version:  # a broken installation
            return None
        return Environment(engine=engine, version=version, python=sys.executable, managed=False, device=_device())
    return None


def users(folder: Path) -> list[psutil.Process]:
    """Processes that run from ``folder``: started with its Python, or with one of its libraries mapped.

    The executable alone does not tell: an environment's ``python`` is a link to the system's.
    """
    import psutil

    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _runs_from(process, folder)]


def remove(item: Managed) -> None:
    """Delete an environment, under :func:`locked`. It stops being listed at once, before its files go.

    Raises:
        LlmserveError: processes use it, or its files cannot be deleted.
    """
    refuse_if_used(item)
    doomed = item.path.with_name(f"{REMOVING}{item.path.name}-{os.getpid()}")
    try:
        item.path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise LlmserveError(
            f"{item.path} cannot be removed: {error.strerror}.", hint="Check its permissions."
        ) from error


def refuse_if_used(item: Managed) -> None:
    """Raises LlmserveError while any process runs from the environment."""
    if running := users(item.path):
        pids = ", ".join(str(process.pid) for process in running)
        raise LlmserveError(
            f"The environment {item.path.name} is in use by {'processes' if len(running) > 1 else 'process'} {pids}.",
            hint="Stop the servers that use it first: `llmserve ps`, then `llmserve down NAME`.",
            code="environment_in_use",
            data={"pids": [process.pid for process in running]},
        )


@contextlib.contextmanager
def locked(on_wait: Callable[[], None]) -> Iterator[int]:
    """Hold the engines folder; yields the lock's file descriptor. ``on_wait`` is called if another process has it.

    Children that inherit the descriptor keep the lock, so a build whose llmserve was killed is waited for as well.

    Raises:
        LlmserveError: the folder cannot be written.
    """
    folder = paths.engines_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        hint = "Set XDG_DATA_HOME to a folder that can."
        raise LlmserveError(f"{folder} cannot be written: {error.strerror}.", hint=hint) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def clean() -> None:
    """Delete what interrupted builds and removals left. Call it under :func:`locked`: then nobody works on them."""
    for path in _leftovers():
        shutil.rmtree(path, ignore_errors=True)


def tidy() -> None:
    """:func:`clean`, unless another process builds or removes right now."""
    if _leftovers():
        with contextlib.suppress(OSError), (paths.engines_dir() / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clean()


def _leftovers() -> list[Path]:
    return [path for prefix in (BUILDING, REMOVING) for path in paths.engines_dir().glob(f"{prefix}*")]


def _read(folder: Path) -> Managed | None:
    if folder.name.startswith(".") or not python_of(folder).exists():
        return None
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return Managed(path=folder, manifest=from_json(Manifest, data))
    except (OSError, ValueError):
        return None


def _device() -> Device:
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return "cpu" if metadata.version("torch").endswith("+cpu") else "gpu"
    return "cpu"


def _runs_from(process: psutil.Process, folder: Path) -> bool:
    import psutil

    inside = f"{folder}{os.sep}"
    with contextlib.suppress(psutil.Error, OSError):
        if any(word.startswith(inside) for word in process.cmdline()[:1]):
            return True
        # A worker renames itself and so loses its command line; its libraries stay mapped.
        return inside in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace")
    return False
