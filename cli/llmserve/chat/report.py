"""What is said beside an answer: its figures, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from llmserve.chat.answer import Answer
from llmserve.endpoint.endpoint import Price
from llmserve.endpoint.types import Usage
from llmserve.output.text import duration

__all__ = ["as_data", "stats", "warnings"]


def stats(answer: Answer, price: Price | None = None) -> str:
    """``TTFT 84 ms · 61.2 tok/s · 412 tokens (38 prompt, 374 answer)``, of tokens that the server counted.

    With a price, what they cost.
    """
    parts = []
    if answer.ttft_s is not None:
        parts.append(f"TTFT {_short(answer.ttft_s)}")
    if answer.tokens_per_s is not None:
        parts.append(f"{answer.tokens_per_s:.1f} tok/s")
    parts.append(_tokens(answer.usage) if answer.usage else f"{duration(answer.total_s)} in all, tokens not reported")
    cost = _cost(answer.usage, price)
    if cost is not None and price:
        parts.append(f"{cost:.6f} {price.currency}" if cost < 0.01 else f"{cost:.4f} {price.currency}")
    return " · ".join(parts)


def warnings(answer: Answer) -> tuple[str, ...]:
    """Sentences about an answer that ended, but not as a whole text."""
    reason, said = answer.finish_reason, []
    if reason == "length" and answer.reasoning and not answer.content:
        said.append("The token limit was spent on thinking: raise --max-tokens.")
    elif reason == "length":
        said.append("The answer was cut at the token limit: raise --max-tokens, or serve a longer context.")
    elif reason == "content_filter":
        said.append("The server's content filter ended the answer.")
    if answer.tools:
        said.append(f"The model asked for a tool ({', '.join(answer.tools)}) that was not run.")
    elif not answer.content and not said:
        said.append("The answer is empty.")
    return tuple(said)


def _cost(usage: Usage | None, price: Price | None) -> float | None:
    if not (usage and price) or usage.prompt is None or usage.completion is None:
        return None
    return price.of(usage.prompt, usage.completion)


def as_data(answer: Answer, model: str) -> dict[str, Any]:
    """The answer for ``--json``; times in seconds, tokens as the server counted them, or null."""
    usage = answer.usage
    return {
        "model": model,
        "message": _message(answer),
        "content": answer.content,
        "reasoning": answer.reasoning or None,
        "finish_reason": answer.finish_reason,
        "usage": {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
            "cached_tokens": usage.cached,
            "reasoning_tokens": usage.reasoning,
        }
        if usage
        else None,
        "tokens_per_s": None if answer.tokens_per_s is None else round(answer.tokens_per_s, 3),
        "ttft_s": None if answer.ttft_s is None else round(answer.ttft_s, 6),
        "total_s": round(answer.total_s, 6),
    }


def _message(answer: Answer) -> dict[str, Any]:
    """The answer as a message, to be sent back."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.calls
    ]
    return {"role": "assistant", "content": answer.content, **({"tool_calls": calls} if calls else {})}


def _tokens(usage: Usage) -> str:
    counts = (
        _count(usage.prompt, "prompt", usage.cached, "cached"),
        _count(usage.completion, "answer", usage.reasoning, "thinking"),
    )
    total = "tokens" if usage.total is None else f"{usage.total} tokens"
    return f"{total} ({', '.join(filter(None, counts))})" if any(counts) else total


def _count(count: int | None, name: str, part: int | None, part_name: str) -> str:
    if count is None:
        return ""
    return f"{count} {name} incl. {part} {part_name}" if part else f"{count} {name}"


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else duration(seconds)
