"""The planner's entry: model + machine + goal -> plan."""

from __future__ import annotations

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware.machine import Gpu, Machine
from llmserve.models.model import Candidate, Format, Model
from llmserve.output.text import GIB, gib
from llmserve.plan import flags, memory, parallel
from llmserve.plan.kv_cache import SMALLEST_CONTEXT, fit, kv_bytes_per_token
from llmserve.plan.plan import EngineName, Goal, Plan, Share

FORMAT: dict[EngineName, Format] = {"sglang": "safetensors", "llamacpp": "gguf"}

_CPU_CONTEXT, _CPU_REQUESTS = 32_768, 4
_GPU_REQUESTS = 256
_COMFORTABLE = 32_768
"""Tokens that make another GPU unnecessary when the user named no context."""


def choose_engine(candidate: Candidate, machine: Machine, *, wish: str = "auto") -> tuple[EngineName, str]:
    """The engine for a model on a machine, and the reason in one clause.

    Raises:
        UsageError: the engine asked for cannot load the formats in which this model exists.
    """
    if wish in FORMAT:
        return _asked(candidate, wish)
    gpu, formats = bool(parallel.usable(machine)), candidate.formats
    if "safetensors" in formats and (gpu or "gguf" not in formats):
        return "sglang", "there is a GPU" if gpu else "the weights are safetensors"
    return "llamacpp", "the weights are GGUF" if gpu else "no usable GPU"


def _asked(candidate: Candidate, wish: str) -> tuple[EngineName, str]:
    engine: EngineName = "sglang" if wish == "sglang" else "llamacpp"
    if FORMAT[engine] in candidate.formats:
        return engine, "asked for"
    raise UsageError(
        f"{engine} needs {FORMAT[engine]} weights, and {candidate.ref} exists only as {candidate.formats[0]}.",
        hint=f"Use --engine {'llamacpp' if engine == 'sglang' else 'sglang'}, or another model: `llmserve models`.",
        code="wrong_format",
    )


def choose(model: Model, machine: Machine, goal: Goal, *, engine: EngineName, reason: str) -> Plan:
    """Decide how ``model`` is served on ``machine``.

    Raises:
        DoesNotFitError: no arrangement holds the weights and the context asked for; says how many GiB are missing.
        UsageError: the goal contradicts the model.
    """
    _check(model, goal)
    if engine == "llamacpp" or not parallel.usable(machine):
        return _on_cpu(model, machine, goal, engine, reason)
    return _on_gpu(model, machine, goal, reason)


def _check(model: Model, goal: Goal) -> None:
    for name, value in (("--context", goal.context), ("--concurrency", goal.concurrency)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.", hint="Leave it out to let llmserve choose.")
    if goal.context and goal.context > model.context_length:
        raise UsageError(
            f"{model.name} has a context of {model.context_length:,} tokens; {goal.context:,} were asked for.",
            hint=f"Use --context {model.context_length} or less.",
            code="context_too_long",
        )


def _on_cpu(model: Model, machine: Machine, goal: Goal, engine: EngineName, reason: str) -> Plan:
    budget = memory.host(machine, model, engine=engine)
    _weights_fit(model, budget, where="RAM")
    cell = kv_bytes_per_token(model)
    room = _host_room(budget.left, cell, goal)
    shape = fit(model, goal, budget=room, cell=cell, most_context=_CPU_CONTEXT, most_requests=_CPU_REQUESTS)
    settings, more = flags.sglang_cpu(shape), []
    if engine == "llamacpp":
        cache = flags.prompt_cache(budget.left - shape.tokens * cell)
        settings = flags.llamacpp(shape, machine, cache=cache)
        more = [Share(name="prompt cache", size_bytes=cache * memory.MIB, basis="grows to --cache-ram")]
    return Plan(
        engine=engine, engine_reason=reason, model=model.name, device="cpu", gpus=(), tensor_parallel=1,
        context=shape.context, concurrency=shape.concurrency, kv_bytes_per_token=cell, kv_tokens=shape.tokens,
        kv_band=(shape.tokens, shape.tokens), memory_bytes=budget.free,
        ledger=budget.ledger(shape.tokens * cell, *more),
        flags=settings, notes=(*shape.notes, *_notes(model)),
    )  # fmt: skip


def _host_room(left: int, cell: int, goal: Goal) -> int:
    """Half of the free memory, since people go on working on the machine; all of it when they said what they need."""
    asked = goal.context is not None or goal.concurrency is not None
    return left if asked or left // 2 < cell * SMALLEST_CONTEXT else left // 2


def _weights_fit(model: Model, budget: memory.Budget, *, where: str) -> None:
    if budget.left > 0:
        return
    raise DoesNotFitError(
        f"{model.name} needs {gib(budget.free - budget.left)} of {where} for weights ({gib(model.weight_bytes)}) and "
        f"overhead; {gib(budget.free)} are free, {gib(-budget.left)} are missing.",
        hint="Use a smaller model (`llmserve models`) or free some memory (`llmserve doctor` shows who holds it).",
        data={"missing_bytes": -budget.left, "weight_bytes": model.weight_bytes, "free_bytes": budget.free},
    )


def _on_gpu(model: Model, machine: Machine, goal: Goal, reason: str) -> Plan:
    """The fewest GPUs that hold the weights and a comfortable context; failing that, those that hold the longest."""
    best: Plan | None = None
    refusal: DoesNotFitError | None = None
    for group in parallel.groups(machine, model):
        try:
            plan = _on_group(model, group, goal, reason)
        except DoesNotFitError as error:
            refusal = error  # the widest group is tried last, so its refusal is the one that counts
            continue
        if goal.context or plan.kv_tokens >= min(model.context_length, _COMFORTABLE):
            return plan
        best = plan if best is None or plan.kv_tokens > best.kv_tokens else best
    if best is None:
        raise refusal or DoesNotFitError(f"No GPU here can take {model.name}.", hint="Run `llmserve doctor`.")
    return best


def _on_group(model: Model, group: tuple[Gpu, ...], goal: Goal, reason: str) -> Plan:
    count, tightest = len(group), min(group, key=lambda gpu: gpu.free_bytes)
    cell = kv_bytes_per_token(model, tensor_parallel=count)
    sizes = memory.gpu_shape(tightest, _running(goal.concurrency, tightest))
    budget = memory.gpu_budget(group, model, sizes, context=goal.context or model.context_length)
    _weights_fit(model, budget, where=f"memory on {count} × {tightest.name}")
    shape = fit(
        model, goal, budget=budget.left, cell=cell, most_context=model.context_length, most_requests=_GPU_REQUESTS
    )
    tokens = budget.left // cell
    fraction = memory.static_fraction(budget, tokens * cell, tensor_parallel=count)
    return Plan(
        engine="sglang", engine_reason=reason, model=model.name, device="gpu", gpus=tuple(gpu.uuid for gpu in group),
        tensor_parallel=count, context=shape.context, concurrency=shape.concurrency, kv_bytes_per_token=cell,
        kv_tokens=tokens, kv_band=_band(tokens, cell, model.weight_bytes // count), memory_bytes=budget.free,
        ledger=budget.ledger(tokens * cell), flags=flags.sglang_gpu(model, shape, sizes, fraction, count),
        notes=(*shape.notes, *_notes(model)),
    )  # fmt: skip


def _running(concurrency: int | None, gpu: Gpu) -> int:
    """Requests SGLang may run at once: a quarter more than asked for, since few are at full length together.

    Unasked: by card size, near SGLang's own tiers for CUDA graphs (``memory_hook``)."""
    if concurrency:
        return max(8, concurrency * 5 // 4)
    return 32 if gpu.total_bytes < 30 * GIB else 64 if gpu.total_bytes < 60 * GIB else _GPU_REQUESTS


def _band(tokens: int, cell: int, weights: int) -> tuple[int, int]:
    uncertainty = (GIB // 2 + weights // 100) // cell  # half a GiB of driver and NCCL, 1 % of the weights
    return max(0, tokens - uncertainty), tokens + uncertainty


def _notes(model: Model) -> tuple[str, ...]:
    notes = []
    if model.random_weights:
        notes.append("The weights are random: the API is real, the answers are noise.")
    if model.attention != "gqa":
        notes.append(f"{model.architecture} is planned as grouped-query attention: the KV figure is an upper bound.")
    return tuple(notes)
