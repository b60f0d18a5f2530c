"""The main job: from a name to a ready server. resolve → plan → fetch → launch → ready."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any

from llmserve import engine as engines
from llmserve import history, models
from llmserve.engine import keys, launch, ports, registry, reservations
from llmserve.engine.base import Address, Device, Environment, Launch, Serving
from llmserve.engine.server import Server
from llmserve.errors import LlmserveError, UsageError
from llmserve.hardware.machine import Machine
from llmserve.models.model import Candidate, Model
from llmserve.output.steps import Steps
from llmserve.output.text import gib
from llmserve.plan import choose, defaults, explain, parallel
from llmserve.plan.plan import EngineName, Goal, Plan
from llmserve.plan.sglang import rules

if TYPE_CHECKING:
    from llmserve.models.hub.progress import Event

STEPS = ("resolve", "plan", "fetch", "start", "load", "KV cache", "graphs", "warm-up", "ready")
"""What a start goes through, as it is shown."""

STAGES = {"start": "start", "load": "load", "kv_cache": "KV cache", "graphs": "graphs", "warmup": "warm-up"}

_SLOWEST_LOAD = 50e6  # bytes/s: a network disk on a bad day


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the user asked for. ``timeout`` in seconds (None: as long as it gets on); ``extra`` goes to the engine
    untouched. ``restart`` and ``retry`` as in :class:`~llmserve.engine.launch.Request`. ``reserved`` bytes by GPU are
    kept for servers that are loading, and not free in ``machine``.

    With ``planning`` nothing will be started, so that weights out of reach may be described by a recipe.
    """

    ref: str | None
    engine: str
    goal: Goal
    host: str
    port: int | None
    name: str | None
    api_key: str | None
    timeout: float | None
    machine: Machine
    revision: str | None = None
    planning: bool = False
    restart: bool = True
    retry: bool = True
    reserved: Mapping[str, int] = field(default_factory=dict)
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """All that is known before the first byte of weights: what, where, how; ``why`` says why this model."""

    model: Model
    plan: Plan
    environment: Environment | None
    why: str = ""

    @property
    def served_name(self) -> str:
        """The id that the API shows; SGLang reads what follows a colon as the name of a LoRA adapter."""
        return self.model.name.replace(":", "-").lstrip("-") or "model"


def prepare(order: Order, steps: Steps) -> Prepared:
    """Resolve the name and plan its service. Fetches headers at most."""
    refuse_ours(order.extra)
    steps.begin("resolve", order.ref or "choosing a model")
    candidate, why = _candidate(order)
    name, reason = choose.choose_engine(candidate, order.machine, wish=order.engine)
    model = models.describe(candidate, choose.FORMAT[name], planning=order.planning)
    steps.finish("resolve", _summary(model))
    steps.begin("plan")
    plan, environment = _plan(order, model, name, reason)
    steps.finish("plan", explain.verdict(plan))
    prepared = Prepared(model=model, plan=plan, environment=environment, why=why)
    _refuse_unservable(prepared, order)
    return prepared


def _plan(order: Order, model: Model, name: EngineName, reason: str) -> tuple[Plan, Environment | None]:
    """The plan, corrected by earlier starts and put in the words of the engine that is installed."""
    device: Device = "gpu" if name == "sglang" and parallel.usable(order.machine) else "cpu"
    environment = _environment(name, device)
    version = environment.version if environment else ""
    plan = choose.choose(
        model, order.machine, order.goal, engine=name, reason=reason, history=history.load(), engine_version=version
    )
    return engines.engine(name).adapt(plan, environment), environment


_OURS = {
    "--host": "--host", "--port": "--port", "--api-key": "--api-key-file", "--api-keys": "--api-key-file",
    "--admin-api-key": "--api-key-file", "--served-model-name": "--name", "--alias": "--name",
    "--model-path": "MODEL", "--model": "MODEL",
}  # fmt: skip


def refuse_ours(extra: tuple[str, ...]) -> None:
    """Engine flags that would take away what llmserve promises: the address, the key, the model.

    Raises:
        UsageError: names llmserve's own way. Abbreviations count: SGLang's parser takes them.
    """
    for word in extra:
        flag = word.partition("=")[0].replace("_", "-")
        for theirs, own in _OURS.items():
            if flag == theirs or (len(flag) >= 5 and theirs.startswith(flag) and flag.startswith("--")):
                raise UsageError(f"{flag} cannot be given to the engine.", hint=f"Use llmserve's own {own}.")


def run(order: Order, prepared: Prepared, steps: Steps, keeper: Popen[str]) -> launch.Running:
    """Fetch the weights and start the engine. Raises what is in the way before anything is loaded."""
    if prepared.environment is None:
        _refuse_missing(prepared.plan)
    ports.check_port(order.host, order.port, reserved=registry.ports())
    steps.begin("fetch", "in place" if not prepared.model.missing_bytes else gib(prepared.model.missing_bytes))
    path = models.fetch(prepared.model, lambda event: steps.update(
        "fetch", detail=event.note or _in_work(event), done=event.done_bytes, total=event.total_bytes, unit="B",
        rate=event.rate, eta=event.eta_seconds,
    ))  # fmt: skip
    steps.finish("fetch")
    steps.begin("start", f"{prepared.plan.engine} {prepared.environment.version if prepared.environment else ''}")

    def make(name: str, folder: Path, port: int) -> tuple[Server, Launch]:
        reservations.check(prepared.plan, known=order.reserved, now=reservations.reserved(registry.running()))
        server = _server(order, prepared, name=name, folder=folder, port=port)
        admin_key = keys.read(Path(server.admin_key_file)) if server.admin_key_file else None
        words = command(order, prepared, port=port, path=str(path), admin_key=admin_key)
        return replace(server, weights=str(path)), words

    wish = launch.Wish(
        name=order.name, host=order.host, port=order.port, timeout=_timeout(order, prepared.model),
        patient=order.timeout is None, restart=order.restart, retry=order.retry,
        kept=tuple(f"--{name}" for name, _ in order.goal.fixed) + _flags(order.extra),
    )  # fmt: skip
    return launch.start(
        keeper, make, wish, model=prepared.served_name, api_key=order.api_key,
        waiting=lambda words: steps.update("start", detail=words),
    )  # fmt: skip


def _in_work(event: Event) -> str:
    return event.files[0][0] if len(event.files) == 1 else f"{len(event.files)} files at once" if event.files else ""


def command(order: Order, prepared: Prepared, *, port: int, path: str, admin_key: str | None = None) -> Launch:
    """The engine's exact command for this order."""
    plan = prepared.plan
    missing = Environment(engine=plan.engine, version="not installed", python="python", managed=False)
    serving = Serving(
        plan=plan,
        environment=prepared.environment or missing,
        model_path=path,
        served_name=prepared.served_name,
        address=Address(host=order.host, port=port),
        api_key=order.api_key,
        admin_key=admin_key,
        extra=order.extra,
    )
    return engines.engine(plan.engine).launch(serving)


def report(steps: Steps, event: dict[str, Any]) -> None:
    """Show one event of the keeper: ``progress``, or ``activity`` (how a long start is getting on)."""
    if event["event"] == "activity":
        steps.update(STAGES[event["stage"]], detail=event["words"])
        return
    progress = event["progress"]
    steps.update(
        STAGES[progress["stage"]],
        detail=progress["detail"],
        done=progress["done"],
        total=progress["total"],
        unit=progress["unit"],
    )


def _candidate(order: Order) -> tuple[Candidate, str]:
    if order.ref is not None:
        return models.resolve(order.ref, revision=order.revision, planning=order.planning), ""
    known = models.default_candidates()
    best = defaults.best(known, order.machine)
    if best and (models.is_cached(best) or models.reachable()):
        return best, f"{best.name} is the best of the known models for this machine."
    here = defaults.best([candidate for candidate in known if models.is_cached(candidate)], order.machine)
    if here:
        return here, f"{here.name} is the best of the known models that are on this disk; the hub cannot be reached."
    reason = "no known model fits this machine" if best is None else f"the hub ({models.hub_url()}) cannot be reached"
    return models.resolve("tiny"), f"A built-in stand-in is served, since {reason}."


def _environment(engine: EngineName, device: Device) -> Environment | None:
    """Where the engine is installed for a device. (llama.cpp has one build for both.)"""
    found = engines.engine(engine).environment(device)
    return None if found and device == "gpu" and found.device == "cpu" else found


def _refuse_unservable(prepared: Prepared, order: Order) -> None:
    """Plans that can be shown, and not started here."""
    plan, lacks = prepared.plan, rules.lacks_on_cpu(prepared.model)
    if plan.nodes > 1 and not order.planning:
        raise UsageError(f"This plan needs {plan.nodes} machines; `up` starts a server on one.", code="many_machines")
    if plan.engine == "sglang" and plan.device == "cpu" and lacks:
        raise UsageError(
            f"SGLang cannot serve {prepared.model.name} without a GPU: it has no CPU code for {lacks}.",
            hint="Name a GGUF of this model: llama.cpp serves it from the CPU.",
            code="needs_gpu",
        )


def _refuse_missing(plan: Plan) -> None:
    engines.environment(plan.engine)  # raises where there is none at all
    raise LlmserveError(
        f"The installed {plan.engine} is built for the CPU, and this plan needs a GPU.",
        hint=f"Run `llmserve engine install {plan.engine} --device gpu`.",
        code="engine_missing",
    )


def _summary(model: Model) -> str:
    words = [model.name, model.format, gib(model.weight_bytes), model.quantization or model.dtype]
    return " · ".join([*words, "random weights"] if model.random_weights else words)


def _server(order: Order, prepared: Prepared, *, name: str, folder: Path, port: int) -> Server:
    key_file = keys.keep(order.api_key, folder) if order.api_key else None
    admin = keys.keep(keys.made(), folder, keys.ADMIN_FILE) if key_file and prepared.plan.engine == "sglang" else None
    environment = prepared.environment
    return Server(
        name=name,
        directory=str(folder),
        url=Address(host=order.host, port=port).url,
        host=order.host,
        port=port,
        model=prepared.served_name,
        engine=prepared.plan.engine,
        engine_version=environment.version if environment else "",
        plan=prepared.plan,
        key_file=str(key_file) if key_file else None,
        admin_key_file=str(admin) if admin else None,
        started_at=time.time(),
        extra_flags=_flags(order.extra),
    )


def _flags(words: tuple[str, ...]) -> tuple[str, ...]:
    """Names alone: a value may be a secret, or a number below zero."""
    return tuple(word.partition("=")[0] for word in words if word[:1] == "-" and word.lstrip("-")[:1].isalpha())


def _timeout(order: Order, model: Model) -> float:
    return order.timeout if order.timeout is not None else 600 + model.weight_bytes / _SLOWEST_LOAD


def at_home(prepared: Prepared) -> str:
    """Where the weights are, or will be once they are fetched."""
    return prepared.model.path or f"<weights of {prepared.model.source.repo}>"


__all__ = ["STEPS", "Order", "Prepared", "at_home", "command", "prepare", "report", "run"]
