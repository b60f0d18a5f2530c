"""Plans for host memory: llama.cpp, and SGLang on CPU torch."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.errors import DoesNotFitError, UsageError
from llmserve.hardware.machine import Machine
from llmserve.models.model import Model
from llmserve.output.text import GIB, gib
from llmserve.plan import flags, llama_cache
from llmserve.plan.calibration import machine_key
from llmserve.plan.pins import Pins
from llmserve.plan.plan import EngineName, Flag, Goal, Plan, Prediction, Share, Term
from llmserve.plan.sglang import gpu_plan, pool
from llmserve.plan.sglang import rules as sglang_rules
from llmserve.plan.sglang.pool import Pool, PoolSettings
from llmserve.plan.shape import SMALLEST_CONTEXT, Fit, fit

MIB = 1024**2
_CONTEXT, _REQUESTS = 32_768, 4
_MOST_REQUESTS = 256  # LLAMA_MAX_SEQ
_CHECKPOINTS = 32  # llama-server's own --n-ctx-checkpoints


@dataclass(frozen=True)
class Budget:
    """Free memory of the host, and what is taken from it before the KV cache."""

    free: int
    shares: tuple[Share, ...]

    @property
    def left(self) -> int:
        return self.free - sum(share.size_bytes for share in self.shares)


def llamacpp(model: Model, machine: Machine, goal: Goal, *, reason: str) -> Plan:
    """llama.cpp: the context is allocated at the start, exactly as long as it is told."""
    _refuse_gpu_wishes(goal)
    if goal.fixed or goal.kv_dtype not in (None, "auto"):
        raise UsageError(
            f"llama.cpp takes no {'--fixed' if goal.fixed else '--kv-dtype'}.",
            hint="Give `llmserve up` its own flags after --, such as -- --threads 8.",
        )
    parallel = goal.concurrency or _REQUESTS
    if parallel > _MOST_REQUESTS:
        raise UsageError(
            f"llama.cpp answers at most {_MOST_REQUESTS} requests at a time, not {parallel}.",
            hint="It queues what comes above that: give a smaller --concurrency.",
        )
    longest = min(goal.context or _CONTEXT, model.context_length)
    budget = _budget(model, machine, goal, _llamacpp_needs(model, longest, parallel))
    cell = max(1, llama_cache.kv_bytes(model, context=4096, parallel=1) // 4096)
    room = _room(budget.left, cell, goal)
    tokens = llama_cache.most_context(model, room, parallel=parallel)
    shape = fit(model, goal, tokens=tokens, cell=cell, most_context=_CONTEXT, most_requests=_REQUESTS)
    taken = llama_cache.kv_bytes(model, context=shape.tokens, parallel=shape.concurrency)
    slot = min(llama_cache.cells(shape.tokens, shape.concurrency), model.context_length)
    filled = Pool(
        tokens=slot * shape.concurrency, cell=taken / max(1, shape.tokens), kv_bytes=taken, requests=shape.concurrency
    )
    more = _llamacpp_caches(model, budget.left - taken, shape)
    settings = flags.llamacpp(model, shape, machine, cache=more.prompts, checkpoints=more.checkpoints)
    return _plan(
        model, machine, budget, shape, filled, engine="llamacpp", reason=reason, flags=settings, more=more.shares
    )


@dataclass(frozen=True)
class _Caches:
    """Host memory that grows while the server runs: MiB of prompts, and how many checkpoints of each slot."""

    prompts: int
    checkpoints: int | None
    shares: tuple[Share, ...]


def _llamacpp_caches(model: Model, left: int, shape: Fit) -> _Caches:
    """Checkpoints of windows and states cannot be rolled back, so llama-server copies them, up to 32 for each slot."""
    each = llama_cache.checkpoint_bytes(model) * shape.concurrency
    count = min(_CHECKPOINTS, left // 8 // each) if each else None
    kept = (count or 0) * each
    cache = flags.prompt_cache(left - kept)
    shares = [Share(name="prompt cache", size_bytes=cache * MIB, basis="grows to --cache-ram")]
    if kept:
        shares.append(Share(name="checkpoints", size_bytes=kept, basis=f"{count} of windows and states for each slot"))
    return _Caches(cache, None if count in (None, _CHECKPOINTS) else count, tuple(shares))


def sglang(model: Model, machine: Machine, goal: Goal, *, reason: str) -> Plan:
    """SGLang on the CPU: the pool is capped, or it would fill most of the host's memory."""
    _refuse_gpu_wishes(goal)
    pins = Pins.of(goal.fixed)
    budget = _budget(model, machine, goal, [_processes()])
    settings = PoolSettings(kv_dtype=model.dtype, max_running_requests=_REQUESTS)
    full, window = pool.cells(model, settings)
    cell = full + sglang_rules.window_ratio(model) * window if full else window
    states = (goal.concurrency or _REQUESTS) * sglang_rules.CPU_SLOTS
    taken = (states + 1) * pool.state_bytes(model, settings)
    room = _room(budget.left - taken, int(cell), goal)
    tokens = int(room // cell) if cell else model.context_length * _REQUESTS
    shape = fit(model, goal, tokens=tokens, cell=cell, most_context=_CONTEXT, most_requests=_REQUESTS)
    slots = shape.concurrency * sglang_rules.CPU_SLOTS if taken else None
    filled = pool.size(model, 2**62, PoolSettings(
        kv_dtype=model.dtype, max_total_tokens=shape.tokens, state_slots=slots, context=shape.context,
        max_running_requests=shape.concurrency, slots_per_request=sglang_rules.CPU_SLOTS,
    ))  # fmt: skip
    chosen = flags.sglang_cpu(model, shape, state_slots=slots, pins=pins)
    return _plan(model, machine, budget, shape, filled, engine="sglang", reason=reason, flags=chosen)


def _plan(
    model: Model, machine: Machine, budget: Budget, shape: Fit, filled: Pool, *, engine: EngineName, reason: str,
    flags: tuple[Flag, ...], more: tuple[Share, ...] = (),
) -> Plan:  # fmt: skip
    cache = Share(name="KV cache", size_bytes=filled.kv_bytes, basis=f"{filled.tokens:,} tokens")
    states = Share(
        name="states", size_bytes=filled.state_bytes, basis=f"{filled.state_slots} slots of linear attention"
    )
    shares = (*budget.shares, cache, *((states,) if filled.state_bytes else ()), *more)
    unused = budget.free - sum(share.size_bytes for share in shares)
    return Plan(
        engine=engine, engine_reason=reason, model=model.name, device="cpu", gpus=(), tensor_parallel=1,
        context=shape.context, concurrency=shape.concurrency, kv_bytes_per_token=-(-int(filled.cell * 1000) // 1000),
        predicted=Prediction(
            kv_tokens=filled.tokens, kv_bytes=filled.kv_bytes, weights_bytes_per_gpu=model.weight_bytes,
            max_running_requests=shape.concurrency, band=(filled.tokens, filled.tokens),
            window_tokens=filled.window_tokens, state_slots=filled.state_slots, state_bytes=filled.state_bytes,
        ),
        memory_bytes=budget.free,
        ledger=(*shares, Share(name="unused", size_bytes=unused, basis="what is left")),
        flags=flags, notes=(*shape.notes, *gpu_plan.notes(model)), terms=_terms(shape, filled),
        kv_dtype="float16" if engine == "llamacpp" else model.dtype, weights_basis=model.basis,
        architecture=model.architecture, machine=machine_key([], machine.cpu.cores),
    )  # fmt: skip


def _terms(shape: Fit, filled: Pool) -> tuple[Term, ...]:
    asked = f"{shape.concurrency} × {shape.context:,}, as told to the engine"
    return (
        Term(name="KV tokens", formula=asked, value=f"{filled.tokens:,}"),
        Term(name="KV cache", formula=f"{filled.tokens:,} × {filled.cell:,.1f} B", value=gib(filled.kv_bytes)),
    )


def _budget(model: Model, machine: Machine, goal: Goal, needs: list[Share]) -> Budget:
    weights = Share(name="weights", size_bytes=model.weight_bytes, basis="tensor headers of the checkpoint")
    reserve = max(_reserve(machine), goal.reserve_bytes)
    kept = Share(name="reserve", size_bytes=reserve, basis="left to the rest of the machine")
    budget = Budget(machine.ram_available_bytes, (weights, kept, *needs))
    if budget.left > 0:
        return budget
    parts = " and ".join(f"{share.name} ({gib(share.size_bytes)})" for share in (weights, kept))
    raise DoesNotFitError(
        f"{model.name} needs {gib(budget.free - budget.left)} of RAM, {parts} among it; {gib(budget.free)} are free, "
        f"{gib(-budget.left)} are missing.",
        hint="Use a smaller model (`llmserve models`) or free some memory (`llmserve doctor` shows who holds it).",
        data={"missing_bytes": -budget.left, "weight_bytes": model.weight_bytes, "free_bytes": budget.free},
    )


def _refuse_gpu_wishes(goal: Goal) -> None:
    """Wishes that a CPU cannot grant are refused, not forgotten."""
    named = (("--gpus", goal.gpus), ("--hicache", goal.host_cache_bytes), ("--nodes", goal.nodes > 1))
    for option, given in named:
        if given:
            raise UsageError(
                f"{option} is for GPUs, and this plan is for a CPU.",
                hint=f"Leave {option} out, or plan for another machine with --machine.",
            )


def _reserve(machine: Machine) -> int:
    return min(max(GIB // 2, machine.ram_total_bytes // 16), 4 * GIB)


def _llamacpp_needs(model: Model, context: int, parallel: int) -> list[Share]:
    compute = llama_cache.compute_bytes(model, context=context * parallel, parallel=parallel)
    return [
        Share(name="compute buffers", size_bytes=compute, basis="one micro-batch of 512 tokens, at most"),
        Share(name="process", size_bytes=128 * MIB, basis="measured: resident size without a model"),
    ]


def _processes() -> Share:
    # three Python processes with torch, 0.7 GB resident each (recorded start-ups of 0.5.23 on CPU)
    return Share(name="processes", size_bytes=int(2.5 * GIB), basis="measured: three processes with torch")


def _room(left: int, cell: int, goal: Goal) -> int:
    """Half of the free memory, since people go on working on the machine; all of it when they said what they need."""
    asked = goal.context is not None or goal.concurrency is not None
    return left if asked or left // 2 < cell * SMALLEST_CONTEXT else left // 2
