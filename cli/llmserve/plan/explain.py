"""A plan in words: the verdict, the ledger, and the flags with their reasons."""

from __future__ import annotations

from llmserve.output.text import columns, gib
from llmserve.plan.plan import Plan


def verdict(plan: Plan) -> str:
    """One sentence: what will run where, and how much of it fits."""
    where = f"{len(plan.gpus)} GPU{'s' * (len(plan.gpus) > 1)}" if plan.gpus else "the CPU"
    return (
        f"{plan.engine} on {where} ({plan.engine_reason}): {plan.concurrency} × {plan.context:,} tokens, "
        f"{plan.kv_tokens:,} KV tokens in all."
    )


def describe(plan: Plan) -> str:
    """The whole plan as text."""
    where = "per GPU" if plan.gpus else "of host memory"
    ledger = columns(("SHARE", "SIZE", "BASIS"), [(s.name, gib(s.size_bytes), s.basis) for s in plan.ledger])
    reasons = columns(("FLAG", "REASON"), [(" ".join(filter(None, (f.name, f.value))), f.reason) for f in plan.flags])
    notes = "".join(f"Note: {note}\n" for note in plan.notes)
    return f"{verdict(plan)}\n{notes}\nMemory, {gib(plan.memory_bytes)} free {where}:\n{ledger}\n\n{reasons}"
