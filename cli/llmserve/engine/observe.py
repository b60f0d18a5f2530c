"""From a ready server to what its start has shown."""

from __future__ import annotations

import re

from llmserve.engine.base import Facts
from llmserve.engine.server import Server
from llmserve.plan.calibration import EXTRA, machine_key
from llmserve.plan.observation import Measured, Observation

_SECRET = re.compile(r"key|secret|password|hf.token", re.IGNORECASE)


def observe(server: Server) -> Observation | None:
    """A ready server as an observation; None for one that has not told its figures."""
    plan, facts = server.plan, server.facts
    if facts is None or server.ready_at is None:
        return None
    return Observation(
        at=server.ready_at,
        machine=plan.machine or machine_key([gpu.name for gpu in plan.gpus]),
        engine=plan.engine,
        engine_version=server.engine_version or facts.engine_version or "",
        family=plan.architecture,
        model=plan.model,
        tensor_parallel=plan.tensor_parallel,
        gpus=len(plan.gpus),
        free_bytes=plan.memory_bytes,
        predicted=plan.predicted,
        measured=_measured(facts, ready_after=server.ready_at - server.started_at),
        flags=_flags(server),
    )


def _measured(facts: Facts, *, ready_after: float) -> Measured:
    return Measured(
        kv_tokens=facts.kv_tokens,
        kv_bytes=facts.kv_bytes,
        weight_bytes=facts.weight_bytes,
        before_load_bytes=facts.before_load_bytes,
        graph_bytes=facts.graph_bytes,
        free_bytes=facts.free_bytes,
        max_running_requests=facts.concurrency,
        context=facts.context,
        window_tokens=facts.window_tokens,
        state_slots=facts.state_slots,
        seconds=(facts.seconds or {}) | {"ready": round(max(0.0, ready_after), 2)},
    )


def _flags(server: Server) -> dict[str, str]:
    """The plan's settings, and the names (no values) of those that the user added."""
    planned = {flag.name: flag.value or "" for flag in server.plan.flags if not _SECRET.search(flag.name)}
    return planned | ({EXTRA: " ".join(server.extra_flags)} if server.extra_flags else {})
