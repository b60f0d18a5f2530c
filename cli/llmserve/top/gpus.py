"""What the GPUs of this machine do right now, by the driver's management library."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserve.hardware.nvidia import TRACES
from llmserve.hardware.nvml import Nvml

__all__ = ["Gpus", "Load", "gpus"]


@dataclass(frozen=True, kw_only=True)
class Load:
    """One card: ``utilization`` is a share of 1, powers are watts, the temperature is in °C; None is not told."""

    index: int
    uuid: str
    name: str
    used_bytes: int | None = None
    total_bytes: int | None = None
    utilization: float | None = None
    power: float | None = None
    power_limit: float | None = None
    temperature: int | None = None


class Gpus:
    """Cards that can be asked again and again; ``nvml`` None where there is no driver."""

    def __init__(self, nvml: Nvml | None) -> None:
        self._nvml = nvml
        count = nvml.ask("nvmlDeviceGetCount") if nvml else 0
        handles = {index: nvml.ask("nvmlDeviceGetHandleByIndex", index) for index in range(count or 0)} if nvml else {}
        self._cards = {index: handle for index, handle in handles.items() if handle is not None}

    def read(self) -> list[Load]:
        """Every card that answers, in the driver's order."""
        nvml = self._nvml
        return [_load(nvml, index, handle) for index, handle in self._cards.items()] if nvml else []


def _load(nvml: Nvml, index: int, card: Any) -> Load:
    memory = nvml.memory(card)
    rates = nvml.ask("nvmlDeviceGetUtilizationRates", card)
    power = nvml.ask("nvmlDeviceGetPowerUsage", card)
    limit = nvml.ask("nvmlDeviceGetEnforcedPowerLimit", card)
    return Load(
        index=index,
        uuid=nvml.text("nvmlDeviceGetUUID", card),
        name=nvml.text("nvmlDeviceGetName", card) or "NVIDIA GPU",
        used_bytes=memory[0] - memory[1] if memory else None,
        total_bytes=memory[0] if memory else None,
        utilization=rates.gpu / 100 if rates else None,
        power=power / 1000 if power is not None else None,
        power_limit=limit / 1000 if limit else None,
        temperature=nvml.ask("nvmlDeviceGetTemperature", card, 0),
    )


@contextmanager
def gpus(module: Any = None, *, root: Path = Path("/")) -> Iterator[Gpus]:
    """The NVIDIA cards of this machine, none where no driver is loaded. ``module`` stands for ``pynvml``."""
    module = module or (_pynvml() if any((root / trace).exists() for trace in TRACES) else None)
    nvml = Nvml(module) if module else None
    if nvml and nvml.ask("nvmlInit") is None and nvml.why:
        nvml = None
    try:
        yield Gpus(nvml)
    finally:
        if nvml:
            nvml.ask("nvmlShutdown")


def _pynvml() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None
