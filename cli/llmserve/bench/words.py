"""Text of an exact number of tokens, without a tokenizer: words whose cost the server itself told (``usage``)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

__all__ = ["CANDIDATES", "Vocabulary", "calibrate"]

# Common English words: with a space before it, nearly every tokenizer in use has each of them as one token.
_WORDS = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month lot right study book eye job word business issue side kind head house service friend "
    "father power hour game line end member law car city name team minute idea kid body back parent face level office "
    "door health person art war history party result change morning reason research girl guy moment air teacher force "
    "a an of to in it is as at by we"
)
CANDIDATES = tuple(_WORDS.split())

Count = Callable[[Sequence[str]], Sequence[int | None]]  # prompts to the server's prompt_tokens
REPEATS = 8


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """``costs`` are tokens per word, ``overhead`` what a prompt costs beside its words (the chat template).

    ``first`` are the words that cost the same at the beginning, where no space stands before them; ``exact`` tells
    whether the server confirmed a prompt that was built by them.
    """

    costs: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(CANDIDATES, 1))
    overhead: int = 0
    first: frozenset[str] = frozenset(CANDIDATES)
    exact: bool = False
    requests: int = 0

    def text(self, tokens: int, source: random.Random) -> str:
        """Random words that cost ``tokens``, or as near below it as they can; one word at the least."""
        if self._uniform:
            return " ".join(source.choices(self._uniform, k=max(tokens, 1)))
        affordable = [word for word in self.costs if self.costs[word] <= max(tokens, 1)]
        words = affordable or [min(self.costs, key=self.costs.__getitem__)]
        return " ".join(self._fill(tokens, words, source))

    @cached_property
    def _uniform(self) -> list[str]:
        """All words, if each costs one token."""
        return list(self.costs) if set(self.costs.values()) == {1} else []

    def _fill(self, tokens: int, words: list[str], source: random.Random) -> list[str]:
        largest = max(self.costs[word] for word in words)
        chosen: list[str] = []
        while tokens > 2 * largest:
            chosen.append(source.choice(words))
            tokens -= self.costs[chosen[-1]]
        chosen += self._exactly(tokens, words)
        chosen = chosen or [words[0]]
        start = next((index for index, word in enumerate(chosen) if word in self.first), 0)
        chosen[0], chosen[start] = chosen[start], chosen[0]
        return chosen

    def _exactly(self, tokens: int, words: list[str]) -> list[str]:
        """The last words, found by the arithmetic of coins: fewest coins for each sum."""
        cheapest = {self.costs[word]: word for word in words}
        ways: list[list[str] | None] = [[]]
        for total in range(1, tokens + 1):
            before = ((ways[total - cost], word) for cost, word in cheapest.items() if cost <= total)
            options = [[*way, word] for way, word in before if way is not None]
            ways.append(min(options, key=len) if options else None)
        return next((way for way in reversed(ways) if way is not None), [])


def calibrate(count: Count, *, like: int) -> Vocabulary:
    """Learn from the server what words cost, and check it with a prompt of ``like`` tokens.

    Two requests where every word is one token, as is usual; else some more. A server that reports no usage is not
    ``exact``, and its prompts are counted in words.
    """
    one, every = count([CANDIDATES[0], " ".join(CANDIDATES)])
    if one is None or every is None:
        return Vocabulary(requests=2)
    asked = 2
    if every - one == len(CANDIDATES) - 1:
        found = Vocabulary(costs=dict.fromkeys(CANDIDATES, 1), overhead=one - 1)
    else:
        found = _by_word(count)
        asked += 2 * len(CANDIDATES)
    return _checked(count, found, like, asked)


def _by_word(count: Count) -> Vocabulary:
    singles = count(CANDIDATES)
    repeated = count([" ".join([word] * (REPEATS + 1)) for word in CANDIDATES])
    costs: dict[str, int] = {}
    overheads: dict[str, int] = {}
    for word, one, many in zip(CANDIDATES, singles, repeated, strict=True):
        if one is None or many is None or (many - one) % REPEATS or many <= one:
            continue
        costs[word] = (many - one) // REPEATS
        overheads[word] = one - costs[word]
    if not costs:
        return Vocabulary()
    seen = list(overheads.values())
    overhead = max(set(seen), key=seen.count)
    first = frozenset(word for word, value in overheads.items() if value == overhead)
    return Vocabulary(costs=costs, overhead=overhead, first=first)


def _checked(count: Count, found: Vocabulary, like: int, asked: int) -> Vocabulary:
    wanted = max(like, found.overhead + 8)
    for _ in range(2):
        (said,) = count([found.text(wanted - found.overhead, random.Random(1))])  # noqa: S311
        asked += 1
        if said is None or said == wanted:
            break
        found = replace(found, overhead=found.overhead + said - wanted)
    return replace(found, exact=said == wanted, requests=asked)
