"""llama.cpp, embedded: its own HTTP server from the ``xllamacpp`` wheel, in a process of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from llmserve.engine import environments
from llmserve.engine.base import PRIVATE_DIR, Device, Eased, Environment, Facts, Failure, Launch, Progress, Serving
from llmserve.plan.plan import Plan

_STAGES: tuple[tuple[str, Progress], ...] = (
    ("load_model: loading model", Progress(stage="load")),
    ("llama threadpool init", Progress(stage="kv_cache")),
    ("initializing, n_slots", Progress(stage="warmup")),
)


class LlamaCpp:
    """The embedded engine: GGUF weights, no GPU needed, ready within a second for small models."""

    name: ClassVar[str] = "llamacpp"
    ready_path: ClassVar[str] = "/health"
    info_path: ClassVar[str] = "/props"
    shared_memory: ClassVar[tuple[str, ...]] = ()
    workers: ClassVar[tuple[str, ...]] = ()
    load_metrics: ClassVar[tuple[str, str]] = ("llamacpp:requests_processing", "llamacpp:requests_deferred")

    def environment(self, device: Device | None = None) -> Environment | None:  # noqa: ARG002 - it serves from the CPU
        return environments.find(self.name, distribution="xllamacpp", module="xllamacpp")

    def adapt(self, plan: Plan, environment: Environment | None) -> Plan:  # noqa: ARG002 - the contract's signature
        """As it is: the wheel is pinned, and its runner refuses a flag within milliseconds."""
        return plan

    def launch(self, serving: Serving) -> Launch:
        """``-P`` keeps this package's folder off the import path of the child, which may be another environment."""
        address, key = serving.address, serving.api_key
        own = ("--model", serving.model_path, "--alias", serving.served_name)
        where = ("--host", address.host, "--port", str(address.port))
        secret = ("--api-key-file", f"{PRIVATE_DIR}/engine.key") if key else ()
        planned = tuple(word for flag in serving.plan.flags for word in (flag.name, flag.value) if word is not None)
        runner = (serving.environment.python, "-P", str(Path(__file__).with_name("runner.py")))
        return Launch(
            argv=(*runner, *own, *where, *secret, *planned, *serving.extra),
            files={"engine.key": key} if key else {},
            secrets=(key,) if key else (),
        )

    def progress(self, line: str) -> Progress | None:
        return next((progress for sign, progress in _STAGES if sign in line), None)

    def failure(self, line: str) -> Failure | None:
        from llmserve.engine.llamacpp.failures import FAILURES

        return next((found for rule in FAILURES if (found := rule.match(line))), None)

    def exit_failure(self, code: int) -> Failure | None:
        from llmserve.engine.llamacpp.failures import exit_failure

        return exit_failure(code)

    def ease(self, argv: Sequence[str], failure: Failure, stage: str, *, kept: Collection[str]) -> Eased | None:
        from llmserve.engine import ease
        from llmserve.engine.llamacpp import easing

        return ease.ease(easing.RULES, argv, failure, stage, kept=kept)

    def facts(self, info: Mapping[str, Any], log: str) -> Facts:
        from llmserve.engine.llamacpp import facts as figures

        return figures.facts(info, log)
