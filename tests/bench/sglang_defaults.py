"""What SGLang chooses when nobody tells it: the static fraction of its own heuristic (``memory_hook``, 0.5.23)."""

from __future__ import annotations

from llmserve.models.model import Model
from llmserve.plan.sglang import rules as sglang_rules
from tests.bench.startups import Case

_TIERS = (  # MiB of the smallest card, chunk, largest decode batch below and from tp 4 on
    (20_480, 2048, 8, 8), (35_840, 4096, 48, 160), (61_440, 4096, 32, 160), (163_840, 8192, 256, 512),
    (10**9, 16_384, 512, 512),
)  # fmt: skip
_PREFILL_SIZES = {2048: 42, 4096: 50, 8192: 58, 16_384: 74}


def chunk(case: Case) -> int:
    """The default ``--chunked-prefill-size``."""
    return _tier(case)[1]


def batch(case: Case) -> int:
    """The default largest batch with a CUDA graph."""
    return _tier(case)[3 if int(case.tp or 1) >= 4 else 2]


def _tier(case: Case) -> tuple[int, int, int, int]:
    return next(tier for tier in _TIERS if case.card.total * 1024 < tier[0])


def fraction(case: Case, model: Model) -> float | None:
    """The default ``--mem-fraction-static`` for the record's machine; None for cards it does not know."""
    if case.card.vendor == "other":
        return None
    total = case.card.total * 1024
    tp, pp, dp, most = int(case.tp or 1), int(case.pp or 1), int(case.dp or 1), batch(case)
    tokens = int(case.flags.get("chunked_prefill_size") or chunk(case))
    reserved = 512 + 1.5 * max(tokens, 2048) + 1024 * tp * pp / 8 + 2 * most
    if case.flags.get("enable_dp_attention"):
        reserved += 3 * most * dp + (1.5 * most * dp if most > 300 else 0)
    if pp == 1 and case.card.vendor != "amd":
        reserved += 1536 if sglang_rules.latent(model) else 8 * _PREFILL_SIZES.get(tokens, 58)
    if total > 61_440:
        reserved = max(reserved, 10_240)
    found = round((total - reserved) / total, 3)
    return found * _images(model) if model.vision else found


def _images(model: Model) -> float:
    layers, width = model.vision.layers or 24, model.vision.hidden_size or 1024  # type: ignore[union-attr]
    return 0.95 * min(1.05, max(0.8, 1 - 0.1 * (layers * width**2 / (24 * 1024**2) - 1)))
