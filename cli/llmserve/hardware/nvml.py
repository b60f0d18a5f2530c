"""NVML through the ``pynvml`` module of nvidia-ml-py, asked so that a failing call costs one answer, not all."""

from __future__ import annotations

from typing import Any

from llmserve.hardware.machine import MemoryOwner
from llmserve.hardware.owners import describe
from llmserve.hardware.probe import reason

PROCESS_LISTS = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")


class Nvml:
    """An initialized NVML. ``why`` is what the last call said that answered None, ``code`` its NVML error number."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.why = ""
        self.code: int | None = None

    def ask(self, function: str, *arguments: Any) -> Any:
        """What an NVML function returns, or None: drivers refuse single calls for many reasons."""
        try:
            return getattr(self.module, function)(*arguments)
        except Exception as error:
            self.why = reason(error)
            self.code = getattr(error, "value", None)
            return None

    def text(self, function: str, *arguments: Any) -> str:
        """A string answer (older bindings give bytes); empty where there is none."""
        answer = self.ask(function, *arguments)
        return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer or "")

    def refused(self, name: str) -> bool:
        """Whether the last failure had this code, for example ``NOT_SUPPORTED``."""
        return self.code is not None and self.code == getattr(self.module, f"NVML_ERROR_{name}", None)

    def memory(self, handle: Any) -> tuple[int, int] | None:
        """(total, free) bytes of a card or slice; None if the driver refuses or its figures contradict each other."""
        info = self.ask("nvmlDeviceGetMemoryInfo", handle)
        if info is None:
            return None
        total, free = int(info.total), int(info.free)
        if total <= 0 or not 0 <= free <= total:
            self.why = f"the driver reports {free} of {total} bytes free"
            self.code = None
            return None
        return total, free

    def owners(self, handle: Any, total: int) -> tuple[MemoryOwner, ...] | None:
        """Processes that hold memory of a card, the largest first; None where the driver keeps no list."""
        answers = [self.ask(function, handle) for function in PROCESS_LISTS]
        if all(answer is None for answer in answers):
            return None
        used: dict[int, int | None] = {}
        for process in (process for answer in answers for process in answer or ()):
            size = process.usedGpuMemory
            known = size if isinstance(size, int) and 0 < size <= total else None  # WSL2, MIG: a filler value
            used[process.pid] = used.get(process.pid) or known
        ranked = sorted(used.items(), key=lambda item: -(item[1] or 0))
        return tuple(describe(pid, size) for pid, size in ranked)
