"""Machines in files: saved from a detection, or shipped as profiles to plan for hardware that is not here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from llmserve import paths
from llmserve.errors import UsageError
from llmserve.hardware.machine import Gpu, Machine
from llmserve.records import from_json, to_json

FORMAT = 1
MAX_BYTES = 4 * 1024**2
_MOST = 16 * 1024**4


def names() -> tuple[str, ...]:
    """The profiles that ship with llmserve."""
    return tuple(sorted(path.stem for path in _folder().glob("*.json")))


def save(machine: Machine, path: Path) -> None:
    """Write a machine to a file that :func:`load` reads.

    Raises:
        UsageError: the file cannot be written.
    """
    text = json.dumps({"format": FORMAT} | to_json(machine), indent=2, ensure_ascii=False)
    try:
        paths.write_atomic(path, text + "\n", mode=0o644)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.", hint="Choose a folder that you own.") from error


def load(name_or_path: str | Path) -> Machine:
    """A shipped profile by name, or a machine from a file.

    Raises:
        UsageError: there is no such profile or file, or what it says cannot be; the message names the place.
    """
    text = str(name_or_path)
    path = Path(text).expanduser()
    if text in names():
        path = _folder() / f"{text}.json"
    elif "/" not in text and path.suffix != ".json" and not path.is_file():
        raise _unknown(text)
    try:
        return _parse(path)
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "Write one with `llmserve doctor --save FILE`."
        raise UsageError(f"Cannot read a machine from {path}: {why}.", hint=hint) from error


def problems(machine: Machine) -> Iterator[str]:
    """What contradicts itself in a machine, each with its place; nothing for one that can exist."""
    if not 0 <= machine.ram_available_bytes <= machine.ram_total_bytes or not machine.ram_total_bytes:
        yield "ram_available_bytes must lie between 0 and ram_total_bytes"
    if not 1 <= machine.cpu.cores <= machine.cpu.threads:
        yield "cpu.cores must lie between 1 and cpu.threads"
    if machine.hidden_gpus < 0 or (machine.shm_bytes or 0) < 0:
        yield "hidden_gpus and shm_bytes must not be negative"
    for place, disk in enumerate(machine.disks):
        if not 0 <= disk.free_bytes <= disk.total_bytes:
            yield f"disks[{place}].free_bytes must lie between 0 and total_bytes"
    uuids = [gpu.uuid for gpu in machine.gpus]
    for place, gpu in enumerate(machine.gpus):
        if gpu.uuid in uuids[:place]:
            yield f"gpus[{place}].uuid {gpu.uuid!r} is taken by another GPU"
        yield from (f"gpus[{place}].{problem}" for problem in _gpu_problems(gpu))


def _gpu_problems(gpu: Gpu) -> Iterator[str]:
    if not gpu.uuid or not gpu.name:
        yield "uuid and name must not be empty"
    if gpu.index < 0:
        yield "index must not be negative"
    if not 0 <= gpu.free_bytes <= gpu.total_bytes or not gpu.total_bytes:
        yield "free_bytes must lie between 0 and total_bytes"
    if gpu.total_bytes > _MOST:
        yield "total_bytes is more than any GPU has"
    if any(link.peer == gpu.index or link.peer < 0 or link.lanes < 0 for link in gpu.links):
        yield "links must lead to other GPUs"
    if any((owner.used_bytes or 0) < 0 for owner in gpu.owners):
        yield "owners cannot use negative memory"


def _parse(path: Path) -> Machine:
    if not path.is_file():
        raise FileNotFoundError(2, "there is no such file" if not path.exists() else "it is not a file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("it is too large to be a machine profile")
    data = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(data, dict) and (said := data.get("format", FORMAT)) != FORMAT:
        raise ValueError(f"its format is {said!r}, and this llmserve knows {FORMAT} alone")
    machine = from_json(Machine, data)
    if problem := next(problems(machine), None):
        raise ValueError(problem)
    return machine


def _unknown(name: str) -> UsageError:
    import difflib

    known = names()
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    start = f"Did you mean {' or '.join(near)}? " if near else ""
    return UsageError(f"There is no machine profile {name!r}.", hint=f"{start}Profiles: {', '.join(known)}.")


def _folder() -> Path:
    return paths.templates_dir() / "machines"
