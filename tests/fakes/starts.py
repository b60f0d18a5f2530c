"""Starts of servers by hand: what was predicted for them, and what their engines reported."""

from __future__ import annotations

from dataclasses import replace

from llmserve.plan.observation import Measured, Observation
from tests.fakes.plans import GIB, qwen3_8b_plan

FLAGS = {"--chunked-prefill-size": "8192", "--cuda-graph-max-bs-decode": "256", "--enable-metrics": ""}
PLAN = qwen3_8b_plan()
PREDICTED = replace(
    PLAN.predicted, before_load_bytes=PLAN.memory_bytes - GIB // 2, graph_bytes=3 * GIB, free_bytes=4 * GIB
)


def as_predicted(**changes: object) -> Measured:
    """An engine that reports just what was predicted."""
    measured = Measured(
        kv_tokens=PREDICTED.kv_tokens, kv_bytes=PREDICTED.kv_bytes, weight_bytes=PREDICTED.weights_bytes_per_gpu,
        before_load_bytes=PREDICTED.before_load_bytes, graph_bytes=PREDICTED.graph_bytes,
        free_bytes=PREDICTED.free_bytes, max_running_requests=256, context=40_960, seconds={"load": 5.5, "ready": 42.0},
    )  # fmt: skip
    return replace(measured, **changes)  # type: ignore[arg-type]


def start(measured: Measured | None = None, **changes: object) -> Observation:
    """Qwen3-8B on one H100."""
    found = Observation(
        at=1_790_000_000.0, machine="NVIDIA H100 80GB HBM3 x1", engine="sglang", engine_version="0.5.23",
        family="Qwen3ForCausalLM", model=PLAN.model, tensor_parallel=1, gpus=1, free_bytes=PLAN.memory_bytes,
        predicted=PREDICTED, measured=measured or as_predicted(), flags=FLAGS,
    )  # fmt: skip
    return replace(found, **changes)  # type: ignore[arg-type]
