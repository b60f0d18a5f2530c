"""Plans by hand, for what shows them: the planner's own figures are tested where they are made."""

from __future__ import annotations

from dataclasses import replace

from llmserve.plan.plan import Alternative, Flag, Plan, PlannedGpu, Prediction, Share, Term

GIB = 1024**3

_SHARES = (
    ("driver and NCCL", 0.55, "prior by number of GPUs"),
    ("weights", 15.39, "tensor headers, split over the GPUs"),
    ("CUDA graphs", 2.81, "prior by batch and chunk size"),
    ("workspaces", 0.62, "attention workspace and logits"),
    ("KV cache", 56.25, "409,600 tokens x 147,456 B"),
    ("unused", 3.38, "what is left"),
)
LEDGER = tuple(Share(name=name, size_bytes=int(size * GIB), basis=basis) for name, size, basis in _SHARES)
FREE = sum(share.size_bytes for share in LEDGER)


def gpu(index: int, **changes: object) -> PlannedGpu:
    card = PlannedGpu(
        index=index, uuid=f"GPU-{index}", name="NVIDIA H100 80GB HBM3", total_bytes=int(79.65 * GIB), free_bytes=FREE,
        ledger=LEDGER,
    )  # fmt: skip
    return replace(card, **changes)  # type: ignore[arg-type]


def qwen3_8b_plan(**changes: object) -> Plan:
    """Qwen3-8B on one H100: a pool of 409,600 tokens, ten conversations of 40,960."""
    plan = Plan(
        engine="sglang", engine_reason="there is a GPU", model="qwen3-8b", device="gpu", gpus=(gpu(0),),
        tensor_parallel=1, context=40_960, concurrency=10, kv_bytes_per_token=147_456, memory_bytes=FREE,
        predicted=Prediction(
            kv_tokens=409_600, kv_bytes=409_600 * 147_456, weights_bytes_per_gpu=int(15.39 * GIB),
            max_running_requests=256, band=(401_408, 417_792),
        ),
        ledger=LEDGER,
        flags=(
            Flag(name="--mem-fraction-static", value="0.906", reason="(weights + KV cache) / free memory"),
            Flag(name="--max-running-requests", value="256", reason="bounds the request table and the graphs"),
            Flag(name="--enable-metrics", value=None, reason="/metrics answers 404 without it"),
        ),
        rejected=(Alternative(what="2 GPUs", why="one holds the weights and ten full contexts"),),
        terms=(
            Term(name="free before load", formula="79.00 - 0.55", value="78.45 GiB"),
            Term(name="KV tokens", formula="(78.45 x 0.906 - 15.39) x 2^30 / 147,456", value="409,600 tokens"),
        ),
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]


def on_eight(**changes: object) -> Plan:
    """The same figures on each of eight GPUs that share the model."""
    return qwen3_8b_plan(gpus=tuple(gpu(i) for i in range(8)), tensor_parallel=8, **changes)


def on_the_cpu(**changes: object) -> Plan:
    """llama.cpp on a laptop: four slots of 8,192 tokens."""
    shares = (("weights", 0.46, "GGUF headers"), ("KV cache", 0.38, "32,768 tokens"), ("unused", 11.16, "what is left"))
    ledger = tuple(Share(name=name, size_bytes=int(size * GIB), basis=basis) for name, size, basis in shares)
    plan = qwen3_8b_plan(
        engine="llamacpp", engine_reason="no usable GPU", device="cpu", gpus=(), context=8192, concurrency=4,
        kv_bytes_per_token=12_288, kv_dtype="f16", memory_bytes=sum(share.size_bytes for share in ledger),
        ledger=ledger, rejected=(), terms=(), flags=(Flag(name="--ctx-size", value="32768", reason="4 × 8192"),),
        predicted=Prediction(
            kv_tokens=32_768, kv_bytes=32_768 * 12_288, weights_bytes_per_gpu=int(0.46 * GIB), max_running_requests=4,
            band=(32_768, 32_768),
        ),
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]
