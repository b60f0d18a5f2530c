"""Finds the SDKs that are installed, and has them read recorded answers."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserve.probe.exchange import Exchange
from llmserve.probe.sdks.replay import Replay

__all__ = ["NAMES", "Job", "Reading", "Sdk", "find", "read"]

NAMES = ("openai-python", "openai-node")
TIMEOUT_S = 120.0
MOST = 4 * 1024**2
_HERE = Path(__file__).parent
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Sdk:
    """An SDK that can be run: its name, and the command that reads jobs from its standard input."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """``call`` is a word that the drivers know (``chat``, ``stream``, ``embeddings`` ...)."""

    call: str
    exchange: Exchange


@dataclass(frozen=True)
class Reading:
    """What the SDK made of one answer: ``value`` as it gave it back, or ``error`` as it was raised."""

    value: dict[str, Any]
    error: str = ""


def find(name: str) -> Sdk | str:
    """The SDK, or why there is none."""
    if name == "openai-python":
        if importlib.util.find_spec("openai") is None:
            return "openai is not installed beside llmserve (pip install openai)"
        return Sdk(name, (sys.executable, str(_HERE / "openai_python.py")))
    node = shutil.which("node")
    if not node:
        return "there is no node here"
    modules = next(filter(_has_openai, _node_modules()), None)
    if not modules:
        return "openai is not installed for node (npm install openai, or LLMSERVE_NODE_MODULES)"
    return Sdk(name, (node, str(_HERE / "openai_node.mjs"), str(modules / "openai" / "index.mjs")))


def _node_modules() -> list[Path]:
    told = os.environ.get("LLMSERVE_NODE_MODULES")
    return [*([Path(told)] if told else []), Path.cwd() / "node_modules", Path(sys.prefix) / "node" / "node_modules"]


def _has_openai(modules: Path) -> bool:
    return (modules / "openai" / "index.mjs").is_file()


def read(sdk: Sdk, jobs: Sequence[Job], *, timeout_s: float = TIMEOUT_S) -> list[Reading]:
    """One reading for each job, in order; those that a crash or the time limit left out have an error."""
    with Replay([job.exchange for job in jobs]) as replay:
        asked = [{"call": job.call, "base_url": replay.url(number)} for number, job in enumerate(jobs)]
        lines = _run(sdk, json.dumps(asked), timeout_s)
    found = [_reading(line) for line in lines[: len(jobs)]]
    return [*found, *[Reading({}, f"{sdk.name} gave no result")] * (len(jobs) - len(found))]


def _run(sdk: Sdk, asked: str, timeout_s: float) -> list[str]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {"NO_PROXY": "*", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            sdk.command, input=asked, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False,
            errors="replace",
        )  # fmt: skip
        text = done.stdout
    except subprocess.TimeoutExpired as late:
        text = late.stdout.decode("utf-8", "replace") if isinstance(late.stdout, bytes) else (late.stdout or "")
    except OSError:
        return []
    return [line for line in text[:MOST].splitlines() if line.startswith("{")]


def _reading(line: str) -> Reading:
    try:
        data = json.loads(line)
    except ValueError:
        return Reading({}, "an unreadable result")
    value = data.get("value")
    return Reading(value if isinstance(value, dict) else {}, str(data.get("error") or ""))
