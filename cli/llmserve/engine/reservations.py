"""GPU memory that servers will take which are still loading: the driver calls it free, and nobody else gets it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from llmserve.engine.server import Server
from llmserve.errors import LlmserveError
from llmserve.hardware.machine import Machine
from llmserve.plan.plan import Plan, PlannedGpu

_LEFT = "unused"
"""The share of a ledger that nobody takes."""


def reserved(servers: Iterable[Server]) -> dict[str, int]:
    """Bytes by the UUID of each GPU. Servers that are ready hold theirs, which the driver tells."""
    found: dict[str, int] = {}
    for server in servers:
        if server.state in ("starting", "restarting"):
            for gpu in server.plan.gpus:
                found[gpu.uuid] = found.get(gpu.uuid, 0) + _taken(gpu)
    return found


def without(machine: Machine, held: Mapping[str, int]) -> Machine:
    """``machine`` with what is reserved no longer free."""
    gpus = tuple(replace(gpu, free_bytes=max(0, gpu.free_bytes - held.get(gpu.uuid, 0))) for gpu in machine.gpus)
    return replace(machine, gpus=gpus)


def check(plan: Plan, *, known: Mapping[str, int], now: Mapping[str, int]) -> None:
    """Refuse a plan for GPUs of which more is reserved ``now`` than was ``known`` when it was made (LlmserveError)."""
    for gpu in plan.gpus:
        if now.get(gpu.uuid, 0) > known.get(gpu.uuid, 0):
            raise LlmserveError(
                f"Another server took memory of GPU {gpu.index} while this one was planned.",
                hint="Run the command again: it plans with what is left.",
                code="gpus_taken",
            )


def _taken(gpu: PlannedGpu) -> int:
    return sum(share.size_bytes for share in gpu.ledger if share.name != _LEFT)
