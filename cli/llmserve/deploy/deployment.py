"""What a target is given: a plan made concrete, and the figures that deployments need besides flags."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmserve.engine.base import Launch
from llmserve.errors import UsageError
from llmserve.output.text import GIB
from llmserve.plan.plan import Plan

__all__ = ["PORT", "SECRETS", "Deployment", "File", "Files", "Target", "dns_label"]

PORT = 30000
"""Where the engine listens inside its container or on its node."""
SECRETS = "/run/secrets/llmserve"
"""Where containers find the engine's key."""

_SLOWEST_LOAD = 100e6  # bytes/s: a network disk, or a hub, on a bad day
_STARTING_S = 600.0
_STEP = 10


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of an export. ``secret`` ones hold a key: written 0600, never shown, and never replaced."""

    text: str
    secret: bool = False
    executable: bool = False


Files = Mapping[str, File]
Target = Callable[["Deployment"], dict[str, File]]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One server to be run elsewhere.

    ``launch`` is the engine's command on a node or in a container, with the placeholder of a private folder where it
    reads its key. ``own`` are the words of ``llmserve up`` that make this plan on that machine. ``weight_bytes`` is
    what has to be fetched and loaded.
    """

    name: str
    plan: Plan
    launch: Launch
    own: tuple[str, ...]
    repository: str | None
    model: str
    weight_bytes: int
    engine_version: str
    port: int = PORT

    @property
    def gpus(self) -> int:
        """GPUs on each node."""
        return len(self.plan.gpus)

    @property
    def start_seconds(self) -> int:
        """The longest that a start may take: fetching and loading at a slow disk's pace, graphs, warm-up."""
        return _STEP * math.ceil((_STARTING_S + 2 * self.weight_bytes / _SLOWEST_LOAD) / _STEP)

    @property
    def shared_memory_gib(self) -> int:
        """For /dev/shm: NCCL and the engine's processes talk through it when there are several ranks."""
        return 32 if self.gpus > 1 else 8

    @property
    def disk_gib(self) -> int:
        """For the weights, the kernels compiled at the first start, and a second revision's metadata."""
        return math.ceil(self.weight_bytes * 1.1 / GIB) + 20

    @property
    def gpu_name(self) -> str:
        return self.plan.gpus[0].name if self.plan.gpus else ""

    def needs_gpu(self, target: str) -> None:
        """Raises UsageError where the plan is not for SGLang on GPUs, which is what the images hold."""
        if self.plan.engine != "sglang" or not self.plan.gpus:
            raise UsageError(
                f"{target} runs SGLang's image on GPUs, and this plan is for {self.plan.engine} on the CPU.",
                hint="Add --machine PROFILE (`llmserve export --help`), or use the target systemd.",
                code="target_needs_gpu",
            )

    def one_node(self, target: str) -> None:
        """Raises UsageError where the plan needs several machines."""
        if self.plan.nodes > 1:
            raise UsageError(
                f"{target} runs on one machine, and this plan needs {self.plan.nodes}.",
                hint="Use the target kubernetes or slurm.",
                code="target_one_node",
            )


def dns_label(name: str) -> str:
    """``name`` as Kubernetes and DNS take it (RFC 1123): small letters, digits and hyphens, 40 at most."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "model"
