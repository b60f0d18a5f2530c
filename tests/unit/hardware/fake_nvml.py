"""A driver in memory with the face of ``pynvml``: real names and error numbers, invented cards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

MIB = 1024**2


@dataclass
class Card:
    """A card, or a slice of one. ``lanes`` say where each NVLink ends: a bus id, ``switch`` or None (inactive).

    ``errors`` maps function names to NVML error numbers; those calls fail.
    """

    name: str
    uuid: str
    total: int
    free: int
    bus: str = "00000000:07:00.0"
    capability: tuple[int, int] = (9, 0)
    processes: tuple[tuple[int, int | None], ...] = ()
    lanes: tuple[str | None, ...] = ()
    mig: bool = False
    slices: tuple[Card | None, ...] = ()
    errors: dict[str, int] = field(default_factory=dict)


class FakeNvml:
    """Cards behind the functions that llmserve calls; ``called`` names them all."""

    def __init__(
        self,
        *cards: Card,
        driver: str = "580.95.05",
        cuda: int = 13000,
        init_error: int | None = None,
        level: Callable[[Card, Card], int] = lambda _one, _other: int(pynvml.NVML_TOPOLOGY_SYSTEM),
    ) -> None:
        self.cards = cards
        self.driver = driver
        self.cuda = cuda
        self.init_error = init_error
        self.level = level
        self.called: set[str] = set()
        self.open = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        if not name.startswith("nvml"):
            raise AttributeError(name)
        self.called.add(name)
        answer = getattr(self, f"_{name}")

        def call(*arguments: Any) -> Any:
            if arguments and isinstance(arguments[0], Card) and name in arguments[0].errors:
                raise pynvml.NVMLError(arguments[0].errors[name])
            return answer(*arguments)

        return call

    def _nvmlInit(self) -> None:  # noqa: N802 - the library's own names, here and below
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)
        self.open += 1

    def _nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def _nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def _nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        card = self.cards[index]
        if "handle" in card.errors:
            raise pynvml.NVMLError(card.errors["handle"])
        return card

    def _nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return self.driver

    def _nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return self.cuda

    def _nvmlDeviceGetName(self, card: Card) -> str:  # noqa: N802
        return card.name

    def _nvmlDeviceGetUUID(self, card: Card) -> bytes:  # noqa: N802 - as old bindings answered
        return card.uuid.encode()

    def _nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:  # noqa: N802
        return SimpleNamespace(total=card.total, free=card.free, used=card.total - card.free)

    def _nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=97, memory=40)

    def _nvmlDeviceGetPowerUsage(self, card: Card) -> int:  # noqa: N802 - milliwatts
        return 512_000

    def _nvmlDeviceGetEnforcedPowerLimit(self, card: Card) -> int:  # noqa: N802
        return 700_000

    def _nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:  # noqa: N802
        return 61 if sensor == 0 else 0

    def _nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:  # noqa: N802
        return card.capability

    def _nvmlDeviceGetPciInfo(self, card: Card) -> Any:  # noqa: N802
        return SimpleNamespace(busId=card.bus)

    def _nvmlDeviceGetMigMode(self, card: Card) -> list[int]:  # noqa: N802
        return [int(card.mig), int(card.mig)]

    def _nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:  # noqa: N802
        return len(card.slices)

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:  # noqa: N802
        slice_ = card.slices[index]
        if slice_ is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return slice_

    def _nvmlDeviceGetComputeRunningProcesses(self, card: Card) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in card.processes]

    def _nvmlDeviceGetGraphicsRunningProcesses(self, card: Card) -> list[Any]:  # noqa: N802
        return self._nvmlDeviceGetComputeRunningProcesses(card)[:1]  # many processes stand in both lists

    def _nvmlDeviceGetNvLinkState(self, card: Card, lane: int) -> int:  # noqa: N802
        if lane >= len(card.lanes):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return int(card.lanes[lane] is not None)

    def _nvmlDeviceGetNvLinkRemoteDeviceType(self, card: Card, lane: int) -> int:  # noqa: N802
        kind = pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH if card.lanes[lane] == "switch" else 0
        return int(kind)

    def _nvmlDeviceGetNvLinkRemotePciInfo(self, card: Card, lane: int) -> Any:  # noqa: N802
        return SimpleNamespace(busId=card.lanes[lane])

    def _nvmlDeviceGetTopologyCommonAncestor(self, one: Card, other: Card) -> int:  # noqa: N802
        return self.level(one, other)


def h100(number: int, *, lanes: tuple[str | None, ...] = (), **changes: Any) -> Card:
    facts: dict[str, Any] = {
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": f"GPU-{number}a2b3c4d-0000-0000-0000-00000000000{number}",
        "total": 81559 * MIB,
        "free": 80957 * MIB,
        "bus": f"00000000:0{number + 1}:00.0",
        "lanes": lanes,
    }
    return Card(**(facts | changes))
