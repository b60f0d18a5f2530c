"""What is said when the weights leave no room for a KV cache."""

from __future__ import annotations

from llmserve.errors import DoesNotFitError
from llmserve.hardware.machine import Gpu
from llmserve.models.model import Model
from llmserve.output.text import gib
from llmserve.plan.pins import Pins


def no_room(
    model: Model, gpus: tuple[Gpu, ...], before_load: int, weighed: int, slack: int, pins: Pins, *, cache: int
) -> DoesNotFitError:
    each = f"on each of {len(gpus)} × {gpus[0].name}" if len(gpus) > 1 else f"on {gpus[0].name}"
    missing = max(1, weighed + slack + cache - before_load)
    data = {"missing_bytes": missing, "weight_bytes": weighed, "free_bytes": before_load}
    asked = pins.values.get("mem_fraction_static")
    if asked:
        least = min(1.0, weighed / before_load) if before_load else 1.0
        return DoesNotFitError(
            f"{model.name} leaves no memory for the KV cache at mem_fraction_static={asked}: its weights alone take "
            f"{gib(weighed)} of {gib(before_load)} {each}.",
            hint=f"The fraction must be above {least:.4f}." if least < 1 else "Use more GPUs, or a smaller model.",
            data=data | {"minimum_mem_fraction_static": round(least, 4)},
        )
    return DoesNotFitError(
        f"{model.name} needs {gib(weighed + slack + cache)} {each}: {gib(weighed)} for weights, {gib(cache)} for "
        f"the KV cache and {gib(slack)} for the engine; "
        f"{gib(before_load)} are free, {gib(missing)} are missing.",
        hint="Use a smaller model (`llmserve models`) or free some memory (`llmserve doctor` shows who holds it).",
        data=data,
    )
