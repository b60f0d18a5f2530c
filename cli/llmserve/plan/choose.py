"""The planner's entry: model + machine + goal -> plan. Pure: no files, no sockets, no GPU libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.model import Candidate, Format, Model
from llmserve.output.text import GIB, gib
from llmserve.plan import host_plan, parallel, remedies
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.calibration import Calibration, calibrate, machine_key
from llmserve.plan.observation import Observation
from llmserve.plan.pins import Pins
from llmserve.plan.plan import EngineName, Goal, Plan
from llmserve.plan.search import search
from llmserve.plan.sglang import gpu_plan, rules
from llmserve.plan.sglang.layout import Wish

FORMAT: dict[EngineName, Format] = {"sglang": "safetensors", "llamacpp": "gguf"}


def choose_engine(candidate: Candidate, machine: Machine, *, wish: str = "auto") -> tuple[EngineName, str]:
    """The engine for a model on a machine, and the reason in one clause.

    Raises:
        UsageError: the engine asked for cannot load the formats in which this model exists.
    """
    if wish in FORMAT:
        return _asked(candidate, machine, wish)
    gpu, formats = bool(parallel.usable(machine)), candidate.formats
    if "safetensors" in formats and (gpu or "gguf" not in formats):
        return "sglang", "there is a GPU" if gpu else "the weights are safetensors"
    return "llamacpp", "the weights are GGUF" if gpu else "no usable GPU"


def _asked(candidate: Candidate, machine: Machine, wish: str) -> tuple[EngineName, str]:
    engine: EngineName = "sglang" if wish == "sglang" else "llamacpp"
    if engine == "sglang" and not parallel.usable(machine) and "linux" not in machine.os.lower():
        raise UsageError(
            f"SGLang serves from Linux only, and {machine.name} runs {machine.os}.",
            hint="Use --engine llamacpp with GGUF weights.",
            code="wrong_system",
        )
    if FORMAT[engine] in candidate.formats:
        return engine, "asked for"
    raise UsageError(
        f"{engine} needs {FORMAT[engine]} weights, and {candidate.ref} exists only as {candidate.formats[0]}.",
        hint=f"Use --engine {'llamacpp' if engine == 'sglang' else 'sglang'}, or another model: `llmserve models`.",
        code="wrong_format",
    )


def choose(
    model: Model, machine: Machine, goal: Goal, *, engine: EngineName, reason: str,
    history: Sequence[Observation] = (), engine_version: str = "",
) -> Plan:  # fmt: skip
    """Decide how ``model`` is served on ``machine``; ``history`` are earlier starts, which correct the priors.

    Raises:
        DoesNotFitError: no arrangement holds the weights and the context asked for; says how many GiB are missing, and
            ``data["alternatives"]`` what would make it fit.
        UsageError: the goal contradicts the model.
    """
    _check(model, goal)
    _check_host_cache(machine, goal)
    if engine == "llamacpp":
        return host_plan.llamacpp(model, machine, goal, reason=reason)
    _check_quantization(model)
    if not parallel.usable(machine):
        return host_plan.sglang(model, machine, goal, reason=reason)
    pins = Pins.of(goal.fixed)
    version = pins.text("engine_version", engine_version)
    wish = Wish(goal=goal, pins=pins, look_up=_memory(model, history, version), version=version, drafts=pins.drafts)
    try:
        found = search(model, machine, wish)
    except DoesNotFitError as error:
        raise remedies.with_remedies(error, model, machine, wish) from None
    lowered = bool(found.layout.fit.notes)
    others = remedies.for_more_context(model, machine, wish) if lowered else ()
    return gpu_plan.plan(model, found.layout, wish, reason=reason, why=found.why, rejected=(*others, *found.rejected))


def _memory(
    model: Model, history: Sequence[Observation], version: str
) -> Callable[[tuple[Gpu, ...], Arrangement], Calibration]:
    """What earlier starts of SGLang have shown, by group of GPUs and arrangement."""

    def look_up(gpus: tuple[Gpu, ...], arrangement: Arrangement) -> Calibration:
        return calibrate(
            history, machine=machine_key([gpu.name for gpu in gpus]), engine="sglang", engine_version=version,
            family=model.architecture, tensor_parallel=arrangement.tensor_parallel, model=model.name,
        )  # fmt: skip

    return look_up


def _check_quantization(model: Model) -> None:
    if model.quantization and model.quantization not in rules.QUANTIZATIONS:
        raise UsageError(
            f"{model.name} is quantised by {model.quantization!r}, which SGLang does not know.",
            hint="Use another checkpoint of this model: `llmserve models` lists quantised ones.",
            code="unknown_quantization",
        )


def _check_host_cache(machine: Machine, goal: Goal) -> None:
    """SGLang keeps its host pools within 80 % of what is available after a reserve of 10 GiB."""
    most = max(0, int((machine.ram_available_bytes - 10 * GIB) * 0.8))
    if goal.host_cache_bytes and goal.host_cache_bytes > most:
        raise DoesNotFitError(
            f"{gib(goal.host_cache_bytes)} of host memory were asked for, and {gib(most)} can be given.",
            hint=f"Use --hicache {most // GIB}GiB or less." if most > GIB else "Leave --hicache out.",
            data={"missing_bytes": goal.host_cache_bytes - most},
        )


def _check(model: Model, goal: Goal) -> None:
    named = (("--context", goal.context), ("--concurrency", goal.concurrency), ("--gpus", goal.gpus))
    for name, value in named:
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.", hint="Leave it out to let llmserve choose.")
    if goal.context and goal.context > model.context_length:
        raise UsageError(
            f"{model.name} has a context of {model.context_length:,} tokens; {goal.context:,} were asked for.",
            hint=f"Use --context {model.context_length} or less.",
            code="context_too_long",
        )
