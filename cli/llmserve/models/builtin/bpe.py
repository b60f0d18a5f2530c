"""A byte-level BPE vocabulary, learnt from one page of text in a few hundred steps."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from llmserve.models.builtin import spec

# GPT-2's rule for cutting text into words, as far as ASCII text needs it.
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")

Merge = tuple[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """``tokens[i]`` is the token with the id ``i``, spelt in GPT-2's byte alphabet; ``merges`` are in rank order."""

    tokens: tuple[str, ...]
    merges: tuple[Merge, ...]

    def encode(self, text: str) -> list[int]:
        """Token ids of ASCII text without special tokens."""
        ids = {token: i for i, token in enumerate(self.tokens)}
        ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        return [ids[symbol] for word in _WORDS.findall(text) for symbol in _split(word, ranks)]


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary of the built-in model: special tokens, 256 bytes, then one token for each merge."""
    letters = tuple(_alphabet())
    merges = _train(spec.text(), spec.VOCABULARY - len(spec.SPECIAL_TOKENS) - len(letters))
    return Vocabulary(spec.SPECIAL_TOKENS + letters + tuple(left + right for left, right in merges), merges)


@cache
def _alphabet() -> str:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in plain else next(hidden)) for byte in range(256))


def _symbols(word: str) -> list[str]:
    return [_alphabet()[byte] for byte in word.encode()]


def _train(text: str, count: int) -> tuple[Merge, ...]:
    """The ``count`` most frequent merges, in order; equal counts go by spelling, so that the result is one."""
    words = Counter(_WORDS.findall(text))
    split = [(_symbols(word), number) for word, number in words.items()]
    merges: list[Merge] = []
    while len(merges) < count:
        pairs: Counter[Merge] = Counter()
        for symbols, number in split:
            for pair in pairwise(symbols):
                pairs[pair] += number
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = [(_merged(symbols, best), number) for symbols, number in split]
    return tuple(merges)


def _merged(symbols: list[str], pair: Merge) -> list[str]:
    if pair[0] not in symbols:
        return symbols
    result: list[str] = []
    for symbol in symbols:
        if result and (result[-1], symbol) == pair:
            result[-1] += symbol
        else:
            result.append(symbol)
    return result


def _split(word: str, ranks: dict[Merge, int]) -> list[str]:
    symbols = _symbols(word)
    while len(symbols) > 1:
        best = min(pairwise(symbols), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        symbols = _merged(symbols, best)
    return symbols
