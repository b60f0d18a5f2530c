"""SGLang: from its own wheels on GPUs, and the same unmodified SGLang on CPU torch through its platform plugins.

What reads logs is imported when there is a log: its expressions take longer to compile than a plan to make.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from llmserve.engine import environments
from llmserve.engine.base import Device, Eased, Environment, Facts, Failure, Launch, Progress, Serving
from llmserve.plan.plan import Plan


class SGLang:
    """The engine for GPUs; it also serves from a CPU, slowly, which is enough to try and to test."""

    name: ClassVar[str] = "sglang"
    ready_path: ClassVar[str] = "/ready"
    info_path: ClassVar[str] = "/server_info"
    shared_memory: ClassVar[tuple[str, ...]] = (
        "sglang_loads_",
        "sgl_shm_",
        "multi_tokenizer_args_",
        "nccl-",
        "sem.mp-",
    )
    workers: ClassVar[tuple[str, ...]] = ("sglang::",)
    load_metrics: ClassVar[tuple[str, str]] = ("sglang:num_running_reqs", "sglang:num_queue_reqs")

    def environment(self, device: Device | None = None) -> Environment | None:
        """The best environment, or the best one for ``device``; None when SGLang is not installed."""
        return environments.find(self.name, distribution="sglang", module="sglang", device=device)

    def adapt(self, plan: Plan, environment: Environment | None) -> Plan:
        from llmserve.engine.sglang import dialect

        return dialect.adapt(plan, environment)

    def launch(self, serving: Serving) -> Launch:
        from llmserve.engine.sglang import launch as command

        return command.launch(serving)

    def progress(self, line: str) -> Progress | None:
        from llmserve.engine.sglang import phases

        return phases.progress(line)

    def failure(self, line: str) -> Failure | None:
        from llmserve.engine.sglang import failures

        return failures.failure(line)

    def exit_failure(self, code: int) -> Failure | None:
        from llmserve.engine.sglang import failures

        return failures.exit_failure(code)

    def ease(self, argv: Sequence[str], failure: Failure, stage: str, *, kept: Collection[str]) -> Eased | None:
        from llmserve.engine import ease
        from llmserve.engine.sglang import easing

        return ease.ease(easing.RULES, argv, failure, stage, kept=kept)

    def facts(self, info: Mapping[str, Any], log: str) -> Facts:
        from llmserve.engine.sglang import facts as figures

        return figures.facts(info, log)
