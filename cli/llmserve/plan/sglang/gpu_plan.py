"""From a layout to a plan: ledgers that add up, flags with reasons, the arithmetic in words."""

from __future__ import annotations

from llmserve.hardware.machine import Gpu
from llmserve.models.model import Model
from llmserve.output.text import gib
from llmserve.plan import flags
from llmserve.plan.calibration import machine_key
from llmserve.plan.plan import Alternative, Plan, PlannedGpu, Prediction, Share
from llmserve.plan.sglang import arithmetic
from llmserve.plan.sglang.layout import Layout, Wish


def plan(
    model: Model, layout: Layout, wish: Wish, *, reason: str, why: str, rejected: tuple[Alternative, ...] = ()
) -> Plan:
    """The plan for a layout. ``reason`` is why this engine, ``why`` why these GPUs, each one clause."""
    ledgers = {gpu.uuid: ledger(layout, gpu) for gpu in layout.gpus}
    filled, arrangement = layout.pool, layout.arrangement
    return Plan(
        engine="sglang", engine_reason=reason, model=model.name, device="gpu",
        gpus=tuple(
            PlannedGpu(
                index=gpu.index, uuid=gpu.uuid, name=gpu.name, total_bytes=gpu.total_bytes,
                free_bytes=_free(layout, gpu), ledger=ledgers[gpu.uuid],
            )
            for gpu in layout.gpus
        ),
        tensor_parallel=arrangement.tensor_parallel, pipeline_parallel=arrangement.pipeline_parallel,
        data_parallel=arrangement.data_parallel, attention_data_parallel=arrangement.attention_data_parallel,
        expert_parallel=arrangement.expert_parallel, context=layout.fit.context, concurrency=layout.fit.concurrency,
        kv_bytes_per_token=-(-int(filled.cell * 1000) // 1000), kv_dtype=layout.settings.kv_dtype,
        predicted=_prediction(layout), memory_bytes=layout.free, ledger=ledgers[layout.tightest.uuid],
        flags=flags.sglang_gpu(model, layout, wish, why=why), notes=_notes(model, layout),
        weights_basis=model.basis, wanted_tokens=layout.fit.context * (wish.goal.concurrency or 1),
        rejected=rejected, terms=arithmetic.terms(model, layout), doubts=layout.doubts,
        architecture=model.architecture, nodes=layout.nodes, machine=machine_key([gpu.name for gpu in layout.gpus]),
    )  # fmt: skip


def ledger(layout: Layout, gpu: Gpu) -> tuple[Share, ...]:
    """What is taken on one GPU; adds up to its free memory exactly."""
    filled = layout.pool
    shares = [
        Share(name="driver and NCCL", size_bytes=layout.free - layout.before_load, basis="context, communicators"),
        Share(name="weights", size_bytes=layout.weights.size_bytes, basis=layout.weights.basis),
        Share(name="KV cache", size_bytes=filled.kv_bytes, basis=f"{filled.tokens:,} tokens"),
    ]
    if filled.state_bytes:
        basis = f"{filled.state_slots:,} slots for linear-attention states"
        shares.append(Share(name="states", size_bytes=filled.state_bytes, basis=basis))
    if layout.image_cache:
        shares.append(Share(name="image cache", size_bytes=layout.image_cache, basis="SGLANG_VLM_CACHE_SIZE_MB"))
    left = _free(layout, gpu) - sum(share.size_bytes for share in shares)
    return (*shares, *_slack(layout.slack, left))


def _slack(needs: tuple[Share, ...], left: int) -> list[Share]:
    """The planned needs within what is left, the rest as unused; where it is too little the last ones are cut."""
    shares = []
    for share in needs:
        size = max(0, min(share.size_bytes, left))
        shares.append(share if size == share.size_bytes else Share(name=share.name, size_bytes=size, basis=_cut(share)))
        left -= size
    return [*shares, Share(name="unused", size_bytes=left, basis="what is left, and rounding")]


def _cut(share: Share) -> str:
    return f"all that is left; {gib(share.size_bytes)} would be needed"


def _free(layout: Layout, gpu: Gpu) -> int:
    return max(gpu.free_bytes, layout.free)


def _prediction(layout: Layout) -> Prediction:
    filled, slack = layout.pool, {share.name: share.size_bytes for share in layout.slack}
    after_pools = layout.before_load - layout.weights.size_bytes - filled.kv_bytes - filled.state_bytes
    return Prediction(
        kv_tokens=filled.tokens, kv_bytes=filled.kv_bytes, weights_bytes_per_gpu=layout.weights.size_bytes,
        max_running_requests=filled.requests * layout.arrangement.attention_data_parallel, band=layout.band,
        window_tokens=filled.window_tokens, state_slots=filled.state_slots, state_bytes=filled.state_bytes,
        before_load_bytes=layout.before_load, graph_bytes=slack["CUDA graphs"],
        free_bytes=max(0, after_pools - slack["CUDA graphs"] - slack["workspaces"] - slack["request table"]),
        weight_factor=layout.weight_factor,
    )  # fmt: skip


def notes(model: Model) -> tuple[str, ...]:
    """What a user of the plan should know about the model."""
    found = []
    if model.random_weights:
        found.append("The weights are random: the API is real, the answers are noise.")
    if not model.familiar:
        found.append(
            f"{model.architecture} is new to llmserve: its cache is estimated from general fields (wide band)."
        )
    if model.basis == "config":
        found.append("There are no tensor headers: the weights are computed from config.json.")
    if model.basis == "recipe":
        found.append("The hub was not asked: weights and shape are the recipe's figures.")
    return tuple(found)


def _notes(model: Model, layout: Layout) -> tuple[str, ...]:
    return (*layout.fit.notes, *notes(model), *_tight(layout), *_several(layout))


def _several(layout: Layout) -> tuple[str, ...]:
    if layout.nodes == 1:
        return ()
    last = layout.nodes - 1
    return (
        f"Each machine runs the same command with its --node-rank (0 to {last}) and the first one's --dist-init-addr.",
    )


def _tight(layout: Layout) -> tuple[str, ...]:
    needs = sum(share.size_bytes for share in layout.slack)
    left = layout.before_load - layout.weights.size_bytes - layout.pool.kv_bytes - layout.pool.state_bytes
    if left >= needs:
        return ()
    note = (
        f"Only {gib(max(0, left))} stay free for graphs and activations, {gib(needs)} are expected to be needed: "
        "the start may run out of memory."
    )
    return (note,)
