"""Text of exact length for tokenizers that nobody has, learned from what the server counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from llmserve.bench.words import CANDIDATES, calibrate


def words(text: str) -> int:
    return 11 + len(text.split())


def some_are_two(text: str) -> int:
    return 5 + sum(2 if word in CANDIDATES[::3] else 1 for word in text.split())


def letters(text: str) -> int:
    return 3 + len(text)  # "time" at the beginning is four tokens, later " time" is five


@pytest.mark.parametrize("tokenizer", [words, some_are_two, letters])
@pytest.mark.parametrize("length", [40, 512])
def test_prompts_have_the_length_that_was_asked_for(tokenizer: Callable[[str], int], length: int) -> None:
    def count(prompts: Sequence[str]) -> list[int | None]:
        return [tokenizer(prompt) for prompt in prompts]

    found = calibrate(count, like=length)
    assert found.exact
    draw = random.Random(5)
    texts = [found.text(length - found.overhead, draw) for _ in range(20)]
    assert {tokenizer(text) for text in texts} == {length}
    assert len(set(texts)) == 20


def test_a_server_that_counts_nothing_gets_words() -> None:
    found = calibrate(lambda prompts: [None] * len(prompts), like=50)
    assert not found.exact
    assert len(found.text(50, random.Random(1)).split()) == 50
