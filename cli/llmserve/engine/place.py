"""On which machine a process runs: a state folder may be shared by several, and by containers of one."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Place:
    """``host`` is the name for people. ``machine`` is systemd's machine id (empty: none); ``pids`` names the space in
    which process ids mean something, which each container has for itself.
    """

    host: str
    machine: str
    pids: str

    @property
    def here(self) -> bool:
        return self == place()

    @property
    def this_machine(self) -> bool:
        """Whether it is this machine or container, perhaps before its last start."""
        return (self.host, self.machine) == (place().host, place().machine)


@cache
def place() -> Place:
    """Where this process runs."""
    return Place(host=socket.gethostname(), machine=_machine(), pids=_pids())


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _pids() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
