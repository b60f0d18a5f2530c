"""Weights as they end up on the GPU where engine settings change them on the way."""

from __future__ import annotations

from dataclasses import replace

from llmserve.errors import DoesNotFitError
from llmserve.models.model import Model
from llmserve.models.tensors import Role
from llmserve.output.text import gib
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.pins import Pins
from llmserve.plan.sglang import weights

_ONLINE = {"fp8": 0.5, "mxfp8": 33 / 64, "mxfp4": 0.27, "nvfp4_online": 0.29, "bitsandbytes": 0.27}
"""``--quantization`` for a 16-bit checkpoint: what is left of the matrices that are quantised while they load."""

_QUANTISED: frozenset[Role] = frozenset(
    {"query", "key_value", "output", "latent", "mlp", "experts", "shared_experts", "linear"}
)


def of(model: Model, pins: Pins) -> Model:
    """The model with the tensors that stay on the GPU: quantised online, experts kept by the host (KTransformers)."""
    resident = pins.whole("kt_num_gpu_experts", None)
    if resident is not None and model.experts:
        model = _scaled(model, frozenset({"experts"}), min(1.0, resident / model.experts.routed))
    factor = _online(model, pins)
    return model if factor is None else _scaled(model, _QUANTISED, factor)


def check_peak(model: Model, arrangement: Arrangement, pins: Pins, before_load: int) -> None:
    """Quantising while loading needs the 16-bit parameters first.

    Raises:
        DoesNotFitError: they do not fit, whatever would be left of them.
    """
    if _online(model, pins) is None:
        return
    peak = weights.on_device(model, arrangement).size_bytes
    if peak > before_load:
        raise DoesNotFitError(
            f"Quantising {model.name} while it loads needs {gib(peak)} at first, and {gib(before_load)} are free.",
            hint="Use a checkpoint that is quantised already, or more GPUs.",
            data={"missing_bytes": peak - before_load, "weight_bytes": peak, "free_bytes": before_load},
        )


def _online(model: Model, pins: Pins) -> float | None:
    return None if model.quantization else _ONLINE.get(pins.text("quantization", ""))


def _scaled(model: Model, roles: frozenset[Role], factor: float) -> Model:
    tensors = tuple(
        replace(group, size_bytes=int(group.size_bytes * factor)) if group.role in roles else group
        for group in model.tensors
    )
    return replace(model, tensors=tensors, weight_bytes=sum(group.size_bytes for group in tensors))
