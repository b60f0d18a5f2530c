"""Which model to serve when the user names none."""

from __future__ import annotations

from collections.abc import Sequence

from llmserve.hardware.machine import Machine
from llmserve.models.model import Candidate
from llmserve.output.text import GIB
from llmserve.plan import parallel

_GPU_SHARE = 0.6
"""Of one GPU's free memory, for weights: the rest holds a long context for several users."""

_CPU_MOST, _CPU_SHARE = 2 * GIB, 0.25
"""A CPU reads all weights for each token, so a larger model would answer slower than people read."""


def best(candidates: Sequence[Candidate], machine: Machine) -> Candidate | None:
    """The first of ``candidates`` (the best first) that leaves room for its context; gated models are left out.

    Sizes are the recipes' rough figures: this runs without a network. The planner has the last word.
    """
    gpus = parallel.usable(machine)
    form = "safetensors" if gpus else "gguf"
    most = max(gpu.free_bytes for gpu in gpus) * _GPU_SHARE if gpus else _cpu_limit(machine)
    for candidate in candidates:
        sizes = [source.size_bytes for source in candidate.sources if source.format == form and source.size_bytes]
        if sizes and sizes[0] <= most and not candidate.gated:
            return candidate
    return None


def _cpu_limit(machine: Machine) -> float:
    return min(_CPU_MOST, machine.ram_available_bytes * _CPU_SHARE)
