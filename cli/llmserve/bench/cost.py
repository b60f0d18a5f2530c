"""What tokens cost: of one's own machine by the hour, of a hosted endpoint by its price list."""

from __future__ import annotations

from dataclasses import dataclass

from llmserve.bench import search
from llmserve.bench.records import StageSummary

__all__ = ["Prices", "costs", "sentences"]


@dataclass(frozen=True, kw_only=True)
class Prices:
    """``gpu_hour`` for each of ``gpus`` (None: as the server has them); ``input`` and ``output`` for a million tokens
    elsewhere. A price of None is unknown.
    """

    gpu_hour: float | None = None
    gpus: int | None = None
    input: float | None = None
    output: float | None = None

    @property
    def named(self) -> bool:
        return self.gpu_hour is not None or self.hosted

    @property
    def hosted(self) -> bool:
        return self.input is not None or self.output is not None


def costs(summary: StageSummary, prices: Prices) -> dict[str, float | int]:
    """Per million output tokens, their inputs included, at this load; empty where nothing is known."""
    tokens = summary.tokens
    speed = search.throughput(summary) if tokens.output else summary.throughput.input_tokens
    found: dict[str, float | int] = {}
    if prices.gpu_hour is not None and speed:
        hour = prices.gpu_hour * (prices.gpus or 1)
        found |= {"gpu_hour": prices.gpu_hour, "gpus": prices.gpus or 1, "own_per_million": hour / 3600 / speed * 1e6}
    if prices.hosted and (tokens.output or tokens.input):
        unit = tokens.output or tokens.input
        paid = (prices.input or 0.0) * tokens.input + (prices.output or 0.0) * tokens.output
        found["hosted_per_million"] = paid / unit
    if prices.gpu_hour is not None and found.get("hosted_per_million"):
        found["break_even_tokens_per_s"] = (
            prices.gpu_hour * (prices.gpus or 1) / 3600 / found["hosted_per_million"] * 1e6
        )
    return {name: round(value, 6) for name, value in found.items()}


def sentences(found: dict[str, float | int], summary: StageSummary) -> list[str]:
    """The costs for people; in the currency of the prices that were given."""
    what = "output tokens (their inputs included)" if summary.tokens.output else "input tokens"
    said = []
    own, hosted = found.get("own_per_million"), found.get("hosted_per_million")
    if own is not None:
        hours = f"{found['gpus']} GPU{'' if found['gpus'] == 1 else 's'} at {found['gpu_hour']:g} an hour"
        said.append(f"Cost: {own:,.2f} for a million {what} at this load ({hours}).")
    if hosted is not None:
        said.append(f"Hosted, the same tokens cost {hosted:,.2f} for a million {what}.")
    if own and hosted:
        cheaper = "Your own is" if own < hosted else "The hosted one is"
        factor = max(own, hosted) / min(own, hosted)
        said.append(
            f"{cheaper} {factor:.1f} times cheaper; they are even at {found['break_even_tokens_per_s']:,.0f} tokens "
            "per second, day and night."
        )
    return said
