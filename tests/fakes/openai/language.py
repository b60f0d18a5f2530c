"""The pseudo-model: logits that are a hash of the context, and the sampler of every inference server."""

from __future__ import annotations

import heapq
import math
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tests.fakes.openai.tokens import END, SIZE, SPOKEN

__all__ = ["Sampling", "Step", "distribution", "generate", "score"]

_SPREAD = 12.0
_HABIT = 2.0
_MEMORY = 6
_TALKATIVE = 56
_TOP = 21


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How one choice is drawn; ``seed`` is always given, the server makes one up where the request has none."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: str = ""
    bias: tuple[tuple[int, float], ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


@dataclass(frozen=True)
class Step:
    """One token, and the logarithms of the highest probabilities at its place and of its own."""

    token: int
    logprobs: Mapping[int, float]

    def top(self, count: int) -> list[tuple[int, float]]:
        return sorted(self.logprobs.items(), key=lambda item: (-item[1], item[0]))[:count]


@lru_cache(8192)
def _logits(state: int) -> tuple[float, ...]:
    draw = random.Random(state).random
    return tuple(draw() * _SPREAD for _ in SPOKEN)


def _state(tokens: Sequence[int]) -> int:
    return zlib.crc32(b"".join(token.to_bytes(2, "big") for token in tokens))


def _next_state(state: int, token: int) -> int:
    return zlib.crc32(token.to_bytes(2, "big"), state)


def distribution(state: int, said: Sequence[int], sampling: Sampling) -> dict[int, float]:
    """Log-probabilities of every token that can follow, biases and penalties included, temperature not."""
    logits = dict(zip(SPOKEN, _logits(state), strict=True))
    logits[END] = _SPREAD * (len(said) - _TALKATIVE)
    for token in said[-_MEMORY:]:
        logits[token] = logits.get(token, 0.0) + _HABIT
    if sampling.frequency_penalty or sampling.presence_penalty:
        for token, count in Counter(said).items():
            logits[token] -= sampling.presence_penalty + count * sampling.frequency_penalty
    for token, weight in sampling.bias:
        if 0 <= token < SIZE:
            logits[token] = logits.get(token, 0.0) + weight
    return _normal(logits)


def _normal(logits: dict[int, float]) -> dict[int, float]:
    highest = max(logits.values())
    total = highest + math.log(sum(math.exp(value - highest) for value in logits.values()))
    return {token: value - total for token, value in logits.items()}


def _draw(logprobs: Mapping[int, float], sampling: Sampling, place: str) -> int:
    if sampling.temperature < 1e-4:
        return max(logprobs, key=lambda token: (logprobs[token], -token))
    ordered = sorted(logprobs, key=lambda token: (-logprobs[token], token))
    best = logprobs[ordered[0]]
    weights = [math.exp((logprobs[token] - best) / sampling.temperature) for token in ordered]
    total, mass, kept = sum(weights), 0.0, 0
    for kept, weight in enumerate(weights, 1):  # noqa: B007 - what is kept is used below
        mass += weight / total
        if mass >= sampling.top_p:
            break
    return random.Random(f"{sampling.seed}/{place}").choices(ordered[:kept], weights[:kept])[0]


def generate(prompt: Sequence[int], sampling: Sampling) -> Iterator[Step]:
    """Tokens without end but the model's own: a Step whose token is END is the last."""
    state, said = _state(prompt), list[int]()
    while True:
        logprobs = distribution(state, said, sampling)
        token = _draw(logprobs, sampling, str(len(said)))
        yield _step(token, logprobs)
        if token == END:
            return
        said.append(token)
        state = _next_state(state, token)


def _step(token: int, logprobs: Mapping[int, float]) -> Step:
    best = heapq.nlargest(_TOP, logprobs.items(), key=lambda item: (item[1], -item[0]))
    return Step(token, {**dict(best), token: logprobs[token]})


@lru_cache(1024)
def score(tokens: tuple[int, ...], before: tuple[int, ...] = ()) -> list[Step]:
    """The steps that would have given ``tokens`` after ``before``: prompts that are echoed, texts a grammar forced."""
    state, steps, plain = _state(before), list[Step](), Sampling()
    for place, token in enumerate(tokens):
        logprobs = distribution(state, tokens[:place][-_MEMORY:], plain)
        logprobs.setdefault(token, -_SPREAD)
        steps.append(_step(token, logprobs))
        state = _next_state(state, token)
    return steps
