"""How far the engine's own figure may be from the prediction."""

from __future__ import annotations

from llmserve.plan.calibration import Calibration
from llmserve.plan.plan import Doubt
from llmserve.plan.sglang.doubts import Known, combined, doubts


def band(known: Known, calibration: Calibration) -> tuple[tuple[int, int], tuple[Doubt, ...]]:
    """The range that the engine's own figure is expected in, and what makes it so wide."""
    found = doubts(known)
    below, above = (calibration.band(part) for part in combined(found))
    tokens, settings = known.pool.tokens, known.settings
    low, high = int(tokens * max(0.0, 1 - below)), int(tokens * (1 + above)) + settings.page_size
    cap = settings.max_total_tokens
    return (low, min(high, cap) if cap else high), found
