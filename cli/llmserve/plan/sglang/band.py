"""How far the engine's own figure may be from the prediction."""

from __future__ import annotations

from llmserve.hardware.machine import Gpu
from llmserve.models.model import Model
from llmserve.plan.calibration import Calibration
from llmserve.plan.pins import Pins
from llmserve.plan.sglang import memory
from llmserve.plan.sglang.pool import Pool, PoolSettings

_LAYOUTS_DIFFER = 0.06  # DeepSeek V4: builds pad and price its compressed pools differently
_ROUNDING = 64 * 1024**2
"""SGLang logs GiB with two decimals, and prediction and log are compared in tokens."""


def band(
    model: Model, filled: Pool, settings: PoolSettings, weight_bytes: int, gpu: Gpu, *, pins: Pins, known: Calibration
) -> tuple[int, int]:
    """The range that the engine's own figure is expected in."""
    share = 0.01 if model.basis == "headers" else 0.04
    off = 0.0 if "before_load_gib" in pins.values else float(memory.doubt(gpu))
    off += 0.0 if "weights_gib" in pins.values else share * weight_bytes
    part = known.band((off + _ROUNDING) / max(1, filled.kv_bytes + filled.state_bytes))
    part += _LAYOUTS_DIFFER if settings.page_size == 256 else 0
    part = part if model.familiar else max(part, 0.6)
    low, high = int(filled.tokens * max(0.0, 1 - part)), int(filled.tokens * (1 + part)) + settings.page_size
    if not model.familiar:
        high = max(high, filled.tokens * 4)  # a window or a latent cache would keep far less per token
    cap = settings.max_total_tokens
    return (low, min(high, cap) if cap else high)
