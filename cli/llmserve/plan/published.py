"""Plans as scripts see them: ``data`` of ``llmserve plan --json``, described by ``templates/schemas/plan-1.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmserve.errors import DoesNotFitError
from llmserve.hardware.machine import Machine
from llmserve.models.model import Model
from llmserve.plan import users
from llmserve.plan.plan import Plan
from llmserve.records import to_json

SCHEMA_VERSION = 1


def fitting(plan: Plan, model: Model, machine: Machine) -> dict[str, Any]:
    """A plan: all its figures, the checkpoint's, and how many users fit by the length of their conversations."""
    table = [to_json(entry) for entry in users.table(plan, model)]
    return {
        **_head(model, machine, fits=True),
        **to_json(plan),
        "kv_tokens_in_all": plan.kv_tokens_in_all,
        "users": table,
    }


def refused(error: DoesNotFitError, model: Model, machine: Machine) -> dict[str, Any]:
    """What is known of a model that does not fit: how many bytes are missing, and what would help."""
    known = {"missing_bytes": None, "alternatives": []} | error.data
    return {**_head(model, machine, fits=False), "reason": error.message, **known}


def compared(plans: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several plans and refusals, in the order in which they were asked for."""
    return {"schema_version": SCHEMA_VERSION, "plans": list(plans)}


def _head(model: Model, machine: Machine, *, fits: bool) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "fits": fits,
        "machine_name": machine.name,
        "model": model.name,
        "checkpoint": _checkpoint(model),
    }


def _checkpoint(model: Model) -> dict[str, Any]:
    source = model.source
    return {
        "ref": model.ref,
        "repo": source.repo,
        "revision": model.revision,
        "format": model.format,
        "family": model.architecture,
        "familiar": model.familiar,
        "task": model.task,
        "layers": model.layers,
        "context_length": model.context_length,
        "dtype": model.dtype,
        "quantization": model.quantization,
        "weight_bytes": model.weight_bytes,
        "basis": model.basis,
        "missing_bytes": model.missing_bytes,
        "random_weights": model.random_weights,
    }
