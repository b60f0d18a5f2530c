"""What a server is doing now: asked of the server itself, of the system, and of the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from llmserve.engine import engines, keys, load, process
from llmserve.engine.base import Address
from llmserve.engine.server import Server


@dataclass(frozen=True, kw_only=True)
class Live:
    """Requests that run and wait (None: the engine does not tell), bytes of GPU memory (None: no GPU of its own) and of
    the machine's memory, and the processes that hold them. ``paused``: a signal keeps one of them from running.
    """

    running: int | None = None
    queued: int | None = None
    gpu_bytes: int | None = None
    memory_bytes: int | None = None
    pids: tuple[int, ...] = ()
    paused: bool = False


def look(servers: Sequence[Server], *, timeout: float = 1.0) -> dict[str, Live]:
    """Each of ``servers`` by its name; those that do not run have nothing to show. Takes little more than ``timeout``
    seconds, however many there are.
    """
    alive = [server for server in servers if server.running]
    if not alive:
        return {}
    held = _gpu_memory(alive)
    with ThreadPoolExecutor(max_workers=min(16, len(alive))) as pool:
        loads = list(pool.map(lambda server: _load(server, timeout), alive))
    return {server.name: _live(server, found, held) for server, found in zip(alive, loads, strict=True)}


def _load(server: Server, timeout: float) -> load.Load | None:
    known = engines().get(server.engine)
    if known is None or server.state not in ("ready", "stopping"):
        return None
    key = keys.read(Path(server.key_file)) if server.key_file else None
    address = Address(host=server.host, port=server.port)
    return load.load(address, known.load_metrics, api_key=key, timeout=timeout)


def _live(server: Server, found: load.Load | None, held: Mapping[int, int]) -> Live:
    family = process.tree(server.process.process()) if server.process else []
    pids = tuple(member.pid for member in family)
    return Live(
        running=found.running if found else None,
        queued=found.queued if found else None,
        gpu_bytes=sum(held.get(pid, 0) for pid in pids) if server.plan.gpus else None,
        memory_bytes=sum(map(process.memory, family)) if family else None,
        pids=pids,
        paused=any(process.state(pid) in ("T", "t") for pid in pids),
    )


def _gpu_memory(servers: Sequence[Server]) -> dict[int, int]:
    """Bytes by process; asked only where a server has a GPU, since the driver takes its time."""
    if not any(server.plan.gpus for server in servers):
        return {}
    from llmserve.hardware import detect

    held: dict[int, int] = {}
    for owner in (owner for gpu in detect(disks={}).gpus for owner in gpu.owners):
        held[owner.pid] = held.get(owner.pid, 0) + (owner.used_bytes or 0)
    return held
