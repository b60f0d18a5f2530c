"""A plan in words: the verdict, what it is made of, the settings with their reasons, and what would make it fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmserve.models.model import Model
from llmserve.output import ledger
from llmserve.output.ledger import Look
from llmserve.output.text import gib
from llmserve.plan import pictures, users
from llmserve.plan.plan import Alternative, Doubt, Plan

ENGINES = {"sglang": "SGLang", "llamacpp": "llama.cpp"}
_BASIS = {"headers": "from tensor headers", "config": "computed from config.json", "recipe": "computed from the recipe"}

_NOTABLE = 0.02  # engines unpack some formats: what is loaded is shown where it is that much more than what is stored


def verdict(plan: Plan) -> str:
    """One sentence: what fits where, and for how many users."""
    context = f"{plan.context:,} tokens"
    many = f"one request of {context}" if plan.concurrency == 1 else f"{plan.concurrency} requests of {context} at once"
    return f"{plan.model} {_surely(plan)} on {where(plan)} with {ENGINES[plan.engine]}: {many}."


def _surely(plan: Plan) -> str:
    """How sure it is: the low end of the band decides, not the middle."""
    pools = plan.data_parallel * plan.attention_data_parallel
    least = plan.predicted.band[0] * pools
    short = any(share.basis.startswith("all that is left") for share in plan.ledger)
    return "fits" if least >= plan.wanted_tokens and not short else "probably fits"


def where(plan: Plan) -> str:
    """The devices in a few words: ``the CPU``, ``8 × NVIDIA H200``, ``2 machines with 8 × NVIDIA H200 each``."""
    if not plan.gpus:
        return "the CPU"
    names = list(dict.fromkeys(gpu.name for gpu in plan.gpus))
    cards = ", ".join(f"{sum(gpu.name == name for gpu in plan.gpus)} × {name}" for name in names)
    return cards if plan.nodes == 1 else f"{plan.nodes} machines with {cards} each"


def describe(plan: Plan, model: Model | None = None, *, look: Look | None = None, arithmetic: bool = False) -> str:
    """The whole plan as text. What depends on the ``model`` is left out where it is not given."""
    look = look or Look()
    parts = [
        ledger.folded(verdict(plan), look),
        list(ledger.rows(_facts(plan, model), look)),
        *pictures.memory(plan, look),
        pictures.users(users.table(plan, model), look) if model else [],
        _section("Settings and why", [(_setting(f.name, f.value), f.reason) for f in plan.flags], look),
        _arithmetic(plan, look) if arithmetic else [],
        _section("Not chosen", [(one.what, _why(one)) for one in plan.rejected], look),
        _notes(plan.notes, look),
    ]
    return _joined(parts, look)


def _why(one: Alternative) -> str:
    return f"{one.why} ({' '.join(one.options)})" if one.options else one.why


def changes(alternatives: Sequence[Mapping[str, Any]], look: Look | None = None) -> str:
    """What would make a refused plan fit, and what to type; ``alternatives`` as in the error's data."""
    look = look or Look()
    lines = ["What would make it fit:"] if alternatives else []
    for one in alternatives:
        lines += ledger.folded(f"{one['what']}: {one['why']}", look, first="  - ", rest="    ")
        options = [str(word) for word in one.get("options", ())]
        if options:
            start = "add " if options[0].startswith("-") else "name instead "
            lines += ledger.folded(start + " ".join(options), look, first="      ", rest="      ")
    return _joined([lines], look)


def _facts(plan: Plan, model: Model | None) -> list[tuple[str, str]]:
    low, high = plan.predicted.band
    band = "" if low == high else f" ({low:,} to {high:,})"
    pools = plan.data_parallel * plan.attention_data_parallel
    each = f" in each of {pools} pools" if pools > 1 else ""
    rate = f"; {plan.kv_bytes_per_token / 1024:,.1f} KiB a token" if plan.kv_bytes_per_token else ""
    facts = [
        ("Engine", f"{ENGINES[plan.engine]}: {plan.engine_reason}"),
        ("Split", _split(plan)),
        ("Weights", _weights(plan, model)),
        ("KV cache", f"{plan.predicted.kv_tokens:,} tokens{each}{band}, {plan.kv_dtype}{rate}"),
        ("Download", f"{gib(model.missing_bytes)} are not on this disk yet" if model and model.missing_bytes else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _split(plan: Plan) -> str:
    sizes = (
        (plan.tensor_parallel, "tensor parallel {}"),
        (plan.pipeline_parallel, "{} pipeline stages"),
        (plan.attention_data_parallel, "attention in {} data-parallel groups"),
        (plan.expert_parallel, "experts over {} GPUs"),
        (plan.data_parallel, "{} copies that share the requests"),
    )
    return ", ".join(text.format(size) for size, text in sizes if size > 1)


def _weights(plan: Plan, model: Model | None) -> str:
    loaded = plan.predicted.weights_bytes_per_gpu
    if model is None:
        return f"{gib(loaded)} on each device"
    total = f"{gib(model.weight_bytes)} {model.quantization or model.dtype}, {_BASIS[plan.weights_basis]}"
    if len(plan.gpus) > 1:
        return f"{total}; {gib(loaded)} on each GPU"
    return total if abs(loaded - model.weight_bytes) < loaded * _NOTABLE else f"{total}; {gib(loaded)} once loaded"


def _arithmetic(plan: Plan, look: Look) -> list[str]:
    """Every step with its numbers, and the figures that the engine is expected to report."""
    if not plan.terms:
        return []
    low, high = plan.predicted.band
    wide = max(len(term.name) for term in plan.terms)
    lines = ["Arithmetic:"]
    for term in plan.terms:
        first = f"  {term.name:<{wide}}  = "
        lines += ledger.folded(f"{term.formula} = {term.value}", look, first=first, rest=" " * (wide + 6))
    expected = f"Expected: {plan.predicted.kv_tokens:,} KV tokens, between {low:,} and {high:,}"
    lines += ledger.folded(f"{expected}{_percent(plan)}.", look, first="  ", rest="  ")
    return [*lines, *_doubts(plan, look)]


def _doubts(plan: Plan, look: Look) -> list[str]:
    """What makes the band as wide as it is, the widest first."""
    widest = sorted(plan.doubts, key=lambda doubt: -max(doubt.below, doubt.above))
    table = [(doubt.name, _spread(doubt), doubt.reason) for doubt in widest]
    return ["", "Doubts, of which the root of the squares counts:", *ledger.rows(table, look)] if table else []


def _spread(doubt: Doubt) -> str:
    if abs(doubt.below - doubt.above) < 0.0005:
        return f"± {doubt.above:.1%}"
    return f"-{doubt.below:.1%} +{doubt.above:.1%}"


def _percent(plan: Plan) -> str:
    low, high = plan.predicted.band
    most = plan.predicted.kv_tokens
    return f" ({low / most - 1:+.1%} to {high / most - 1:+.1%})" if most and low != high else ""


def _section(title: str, table: Sequence[tuple[str, str]], look: Look) -> list[str]:
    return [f"{title}:", *ledger.rows(table, look)] if table else []


def _notes(notes: Sequence[str], look: Look) -> list[str]:
    return [line for note in notes for line in ledger.folded(f"Note: {note}", look, rest="  ")]


def _setting(name: str, value: str | None) -> str:
    return name if value is None else f"{name} {value}"


def _joined(parts: Sequence[Sequence[str]], look: Look) -> str:
    text = "\n\n".join("\n".join(part) for part in parts if part)
    return text if look.unicode else ledger.plain(text)
