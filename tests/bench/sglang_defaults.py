"""What SGLang chooses for a record's machine when nobody tells it."""

from __future__ import annotations

from llmserve.models.model import Model
from llmserve.plan.arrangement import Arrangement
from llmserve.plan.sglang import default_fraction
from tests.bench.startups import GIB, Case


def chunk(case: Case) -> int:
    """The default ``--chunked-prefill-size``."""
    return default_fraction.sizes(int(case.card.total * GIB), int(case.tp or 1))[0]


def batch(case: Case) -> int:
    """The default largest batch with a CUDA graph."""
    return default_fraction.sizes(int(case.card.total * GIB), int(case.tp or 1))[1]


def fraction(case: Case, model: Model, sizes: Arrangement) -> float | None:
    """The default ``--mem-fraction-static`` of today's release; None for cards it does not know."""
    if case.card.vendor == "other":
        return None
    return default_fraction.fraction(
        model, int(case.card.total * GIB), sizes, batch=batch(case), graphs=case.card.vendor != "amd",
        chunk=int(case.flags.get("chunked_prefill_size") or chunk(case)),
    )  # fmt: skip
