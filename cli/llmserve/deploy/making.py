"""From what was prepared for ``up`` to what a target is given."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from llmserve import serve
from llmserve.deploy.container import PLACEHOLDER
from llmserve.deploy.deployment import Deployment, dns_label
from llmserve.engine import recipes
from llmserve.engine.base import Environment
from llmserve.errors import UsageError
from llmserve.plan.plan import Goal

__all__ = ["deployment"]


def deployment(order: serve.Order, prepared: serve.Prepared, *, container: bool) -> Deployment:
    """The deployment of a plan. Commands that run in a ``container`` fetch the weights by the hub's name.

    Raises:
        UsageError: a container is to serve weights that only this disk has.
    """
    model, plan = prepared.model, prepared.plan
    if container and not model.source.repo:
        raise UsageError(
            f"{model.name} is on this disk alone, where a container does not find it.",
            hint="Name a model of the hub, or use the target systemd or slurm.",
            code="local_weights",
        )
    version = recipes.recipe(plan.engine, "gpu" if plan.gpus else "cpu").version
    inside = Environment(engine=plan.engine, version=version, python="python3", managed=False)
    # the placeholder, not a key: it stands in files that are secret alone, where it is replaced
    wanted = replace(order, api_key=PLACEHOLDER, extra=_revision(model.revision, container))
    launch = serve.command(
        wanted, replace(prepared, environment=inside), port=order.port or 0, path=model.source.repo or model.path or ""
    )
    return Deployment(
        name=dns_label(order.name or prepared.served_name), plan=plan, launch=launch, own=_own(order, model.ref),
        repository=model.source.repo, model=prepared.served_name, weight_bytes=model.weight_bytes,
        engine_version=version, port=order.port or 0,
    )  # fmt: skip


def _revision(commit: str | None, container: bool) -> tuple[str, ...]:
    return ("--revision", commit) if container and commit else ()


def _own(order: serve.Order, ref: str) -> tuple[str, ...]:
    """The ``llmserve up`` of this plan: the same wishes, on the machine where it will run."""
    program = shutil.which("llmserve") or str(Path(sys.argv[0]).resolve())
    name = dns_label(order.name or ref.rsplit("/", 1)[-1])
    where = ("--host", order.host, "--port", str(order.port), "--name", name)
    engine = ("--engine", order.engine) if order.engine != "auto" else ()
    revision = ("--revision", order.revision) if order.revision else ()
    return (program, "up", ref, *where, *engine, *_wishes(order.goal), *revision)


def _wishes(goal: Goal) -> tuple[str, ...]:
    named = {
        "--context": goal.context, "--concurrency": goal.concurrency, "--objective": goal.objective,
        "--gpus": goal.gpus, "--kv-dtype": goal.kv_dtype, "--reserve": goal.reserve_bytes or None,
        "--hicache": goal.host_cache_bytes,
    }  # fmt: skip
    pins = tuple(word for name, value in goal.fixed for word in ("--fixed", f"{name}={value}"))
    return (*(word for name, value in named.items() if value is not None for word in (name, str(value))), *pins)
