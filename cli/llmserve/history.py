"""What the starts of servers have shown, kept from one run to the next: one JSON object per line, the newest last.

Several processes may write at once, and any of them may be killed: lines that cannot be read are passed over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from llmserve import paths
from llmserve.plan.observation import Observation
from llmserve.records import from_json, to_json

VERSION = 1
KEPT = 500
"""Starts that are remembered; the oldest ones are forgotten first."""

_LATEST = 1e11
"""Seconds since the epoch, in the year 5138."""
_LARGEST = 2**60


def load() -> tuple[Observation, ...]:
    """All starts on record, the oldest first; none where there is no record or no access to it."""
    with contextlib.suppress(OSError):
        return tuple(found for line in _lines() if (found := _read(line)))
    return ()


def append(observation: Observation) -> None:
    """Add one start. A state folder that cannot be written is passed over: a server matters more than its record."""
    line = json.dumps({"version": VERSION} | to_json(observation), ensure_ascii=True)
    with contextlib.suppress(OSError), _locked():
        lines = _lines()
        paths.write_atomic(_file(), "".join(f"{one}\n" for one in [*lines, line][-KEPT:]))


def _file() -> Path:
    return paths.state_dir() / "starts.jsonl"


def _lines() -> list[str]:
    """Raises OSError when there is a record that cannot be read: it must not be replaced then."""
    try:
        text = _file().read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def _read(line: str) -> Observation | None:
    try:
        data = json.loads(line)
        found = from_json(Observation, data) if data.get("version") == VERSION else None
        return found if found and _plausible(found) else None
    except (ValueError, AttributeError, OverflowError, RecursionError):
        return None


def _plausible(found: Observation) -> bool:
    """JSON has numbers that no clock and no machine shows."""
    times = (found.at, *(found.measured.seconds or {}).values())
    tables = (vars(found), vars(found.measured), vars(found.predicted))
    sizes = (value for table in tables for value in table.values() if isinstance(value, int))
    return all(0 <= time < _LATEST for time in times) and all(0 <= size < _LARGEST for size in sizes)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One writer at a time. The lock is a file of its own, since the record is replaced by each of them."""
    lock = paths.private_dir(paths.state_dir()) / ".starts.lock"
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
