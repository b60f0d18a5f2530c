"""The arithmetic of a layout in words, with its numbers put in: what ``--explain`` shows."""

from __future__ import annotations

from llmserve.models.model import Model
from llmserve.output.text import GIB
from llmserve.plan.plan import Term
from llmserve.plan.sglang import pool
from llmserve.plan.sglang import rules as sglang_rules
from llmserve.plan.sglang.layout import Layout


def terms(model: Model, layout: Layout) -> tuple[Term, ...]:
    """From free memory to tokens, one step each."""
    return (*_memory(layout), *_states(model, layout), *_tokens(model, layout))


def _memory(layout: Layout) -> tuple[Term, ...]:
    free, before = layout.free / GIB, layout.before_load / GIB
    needs = [(share.name, share.size_bytes / GIB) for share in layout.slack]
    weights, images = layout.weights.size_bytes / GIB, layout.image_cache / GIB
    taken = f"{weights:.2f} weights" + (f" - {images:.2f} image cache" if images else "")
    fraction = "1 - slack / free before load, rounded down" if layout.solved else "fixed"
    return (
        Term(
            name="free before load", value=f"{before:.2f} GiB",
            formula=f"{free:.2f} - {free - before:.2f} driver and NCCL",
        ),
        Term(
            name="slack needed", value=f"{sum(size for _, size in needs):.2f} GiB",
            formula=" + ".join(f"{size:.2f} {name}" for name, size in needs),
        ),
        Term(
            name="slack allowed", value=f"{layout.allowance / GIB:.2f} GiB", formula="1.6 GiB + 5.5 % of what is free"
        ),
        Term(name="static fraction", value=f"{layout.fraction:.3f}", formula=fraction),
        Term(
            name="left for the cache", value=f"{layout.rest / GIB:.2f} GiB",
            formula=f"{before:.2f} x {layout.fraction:.3f} - {taken}",
        ),
    )  # fmt: skip


def _states(model: Model, layout: Layout) -> tuple[Term, ...]:
    if layout.pool.state_slots is None:
        return ()
    each = pool.state_bytes(model, layout.settings)
    formula = f"({layout.pool.state_slots} + 1) slots x {each:,} B"
    return (Term(name="states", formula=formula, value=f"{layout.pool.state_bytes / GIB:.2f} GiB"),)


def _tokens(model: Model, layout: Layout) -> tuple[Term, ...]:
    filled, settings = layout.pool, layout.settings
    if not filled.cell:
        return ()
    full, window = pool.cells(model, settings)
    ratio = settings.window_ratio or sglang_rules.window_ratio(model)
    parts = f"{full:,.0f} + {ratio:g} x {window:,.0f} window" if window and full else f"{full or window:,.0f}"
    if not full and not window:
        parts = "compressed layers and their window"
    pages = f", whole pages of {settings.page_size}" if settings.page_size > 1 else ""
    left = layout.rest - filled.state_bytes
    return (
        Term(name="bytes per token", formula=f"{parts} ({settings.kv_dtype})", value=f"{filled.cell:,.1f} B"),
        Term(name="KV tokens", formula=f"{left:,} B / {filled.cell:,.1f} B{pages}", value=f"{filled.tokens:,}"),
    )
