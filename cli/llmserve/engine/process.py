"""Processes known by pid and start time, their trees, and who listens on a port."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same pid.

    ``started`` is the kernel's start time in clock ticks since boot (Linux: field 22 of proc_pid_stat(5)), which no
    step of the wall clock changes; ``boot`` names that boot.
    """

    pid: int
    started: float
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Raises ProcessLookupError when there is no such process."""
        started = _started(pid)
        if started is None:
            raise ProcessLookupError(pid)
        return cls(pid=pid, started=started, boot=_boot())

    @property
    def alive(self) -> bool:
        """Whether it runs: zombies do not, nor does another process that has its pid now."""
        return self.boot == _boot() and _started(self.pid) == self.started

    @property
    def this_boot(self) -> bool:
        """Whether its kernel is the one that runs now."""
        return self.boot == _boot()

    @property
    def paused(self) -> bool:
        """Whether a signal (SIGSTOP) has stopped it, so that it answers nobody."""
        return self.alive and state(self.pid) in ("T", "t")

    @property
    def age(self) -> float | None:
        """Seconds since it was started, by a clock that nobody sets; None where the system has none."""
        if sys.platform != "linux" or self.boot != _boot():
            return None
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / os.sysconf("SC_CLK_TCK")

    def process(self) -> psutil.Process | None:
        """A handle to the live process, or None when it has ended."""
        import psutil

        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.pid) if self.alive else None
        return None


def _started(pid: int) -> float | None:
    """Start time of a process that is alive, else None."""
    if sys.platform != "linux":
        import psutil

        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
        return None
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else float(fields[19])


def state(pid: int) -> str:
    """The kernel's letter: R, S, D, T (stopped), t (traced), Z; empty where there is no such process."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def _stat(pid: int) -> list[str]:
    """Fields of proc_pid_stat(5) from the third on (the state); none where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def tree(root: psutil.Process | None) -> list[psutil.Process]:
    """``root`` and all that descends from it, alive now."""
    import psutil

    if root is None:
        return []
    with contextlib.suppress(psutil.Error):
        return [root, *root.children(recursive=True)]
    return []


def end(root: psutil.Process | None, *, grace: float) -> None:
    """Ask ``root`` to end, wait up to ``grace`` seconds, then kill what is left of its tree.

    Only the root is asked: an engine's launcher ends its own workers, and asking them first looks like a crash.
    """
    import psutil

    family = tree(root)
    if root is None:
        return
    with contextlib.suppress(psutil.Error):
        root.terminate()
    _, slow = psutil.wait_procs([root], timeout=grace)
    family += [member for member in tree(root) if member not in family]
    kill(family, patience=0 if slow else 3)


def session(leader: Identity) -> list[psutil.Process]:
    """Every live process of the session that ``leader`` began: an engine's workers, also when it is dead itself."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            started = _started(process.pid)
            if os.getsid(process.pid) == leader.pid and started is not None and started >= leader.started:
                found.append(process)
    return found if leader.boot == _boot() else []


def kill(processes: Sequence[psutil.Process], *, patience: float = 0) -> None:
    """Give ``processes`` ``patience`` seconds to end by themselves, then kill them and wait until they are gone."""
    import psutil

    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=10)


def listens(process: psutil.Process, port: int) -> bool:
    """Whether ``process`` itself listens on TCP ``port``."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return any(_listens_on(connection, port) for connection in process.net_connections("tcp"))
    return False


def memory(process: psutil.Process) -> int:
    """Bytes of the machine's memory that ``process`` holds; 0 when it has ended."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def connections(port: int) -> int | None:
    """How many connections are open to TCP ``port`` of this machine; None where the system does not tell."""
    files = [file for file in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if file.exists()]
    ending, established = f":{port:04X}", "01"
    rows = [line.split() for file in files for line in file.read_text(encoding="ascii").splitlines()[1:]]
    return sum(row[1].endswith(ending) and row[3] == established for row in rows) if files else None


def port_owner(port: int) -> str | None:
    """Who listens on ``port``, as ``name (pid 123)``; None when the system does not tell this user."""
    import psutil

    with contextlib.suppress(psutil.Error, PermissionError):
        for connection in psutil.net_connections("tcp"):
            if connection.pid and _listens_on(connection, port):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def _listens_on(connection: Any, port: int) -> bool:
    return bool(connection.status == "LISTEN" and connection.laddr and connection.laddr.port == port)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork: a fork may hold no lock
_SET_PARENT_DEATH_SIGNAL = 1


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, however that happens. For use between fork and exec."""
    if _LIBC is not None:
        _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def wait_gone(identity: Identity, *, timeout: float) -> bool:
    """Wait until the process has ended; False when it is still there after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while identity.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def wait_gpu_released(pids: set[int], *, timeout: float) -> bool:
    """Wait until the driver lists none of ``pids`` as a holder of GPU memory: it gives memory back some time after."""
    from llmserve.hardware import detect

    deadline = time.monotonic() + timeout
    while any(owner.pid in pids for gpu in detect(disks={}).gpus for owner in gpu.owners):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)
    return True
