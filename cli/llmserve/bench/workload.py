"""What is asked: endless synthetic requests by distributions of lengths, built before they are needed."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from llmserve.bench.lengths import Lengths
from llmserve.bench.payload import Form, Message
from llmserve.bench.records import Request
from llmserve.bench.words import Vocabulary

__all__ = ["Supply", "Synthetic"]

AHEAD_REQUESTS = 4096
AHEAD_BYTES = 16 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Random words. ``prefix_share`` of each input is one of ``prefixes`` shared beginnings.

    Unless ``repeatable``, no two runs ask the same: a prefix cache cannot answer for the model. Lengths follow ``seed``
    in any case. Of ``turns`` questions of a session each waits ``think_s`` for the last answer to be read.
    """

    form: Form
    vocabulary: Vocabulary
    inputs: Lengths
    outputs: Lengths
    seed: int = 0
    repeatable: bool = False
    prefix_share: float = 0.0
    prefixes: int = 1
    turns: int = 1
    think_s: float = 0.0
    decorate: Callable[[str, random.Random], Message] | None = None
    nonce: int = field(default_factory=lambda: random.SystemRandom().getrandbits(64))

    def stream(self, stage: int) -> Iterator[Request]:
        lengths = random.Random(f"{self.seed}/{stage}")  # noqa: S311
        nonce = self.seed if self.repeatable else self.nonce
        text = random.Random(f"{nonce}/{stage}")  # noqa: S311
        beginnings = self._beginnings(random.Random(nonce))  # noqa: S311 - shared by all stages
        for session in count():
            asked, answer = self.inputs.draw(lengths), self.outputs.draw(lengths)
            words = self._prompt(asked, beginnings, text)
            yield self._request([self._message(words, text)], asked, answer, session, 1, lengths, text)

    def _request(
        self, messages: list[Message], asked: int, answer: int, session: int, turn: int, lengths: random.Random,
        text: random.Random,
    ) -> Request:  # fmt: skip
        def follow(said: str) -> tuple[float, Request]:
            more, most = self.inputs.draw(lengths), self.outputs.draw(lengths)
            message = self._message(self.vocabulary.text(more, text), text)
            history = [*messages, {"role": "assistant", "content": said}, message]
            return self.think_s, self._request(history, more, most, session, turn + 1, lengths, text)

        single = turn == 1
        return Request(
            payload=self.form.payload(messages, answer), input_tokens=asked if single else None,
            output_tokens=None if self.form.api == "embeddings" else answer, session=session, turn=turn,
            followup=follow if turn < self.turns else None,
        )  # fmt: skip

    def _message(self, words: str, text: random.Random) -> Message:
        return self.decorate(words, text) if self.decorate else {"role": "user", "content": words}

    def _beginnings(self, text: random.Random) -> list[str]:
        if not self.prefix_share:
            return []
        tokens = round((self.inputs.mean - self.vocabulary.overhead) * self.prefix_share)
        return [self.vocabulary.text(tokens, text) for _ in range(self.prefixes)]

    def _prompt(self, tokens: int, beginnings: list[str], text: random.Random) -> str:
        room = tokens - self.vocabulary.overhead
        if not beginnings:
            return self.vocabulary.text(room, text)
        shared = text.choice(beginnings)
        cost = sum(self.vocabulary.costs[word] for word in shared.split(" "))
        return f"{shared} {self.vocabulary.text(room - cost, text)}" if room > cost else shared


class Supply:
    """Requests built ahead of their time. ``prepare`` builds one more if there is need; the loop calls it when idle."""

    def __init__(self, source: Iterator[Request], most: int | None = None) -> None:
        self._source = source if most is None else islice(source, most)
        self._ready: deque[Request] = deque()
        self._bytes = 0
        self._dry = False

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        if not self._ready and not self.prepare():
            raise StopIteration
        request = self._ready.popleft()
        self._bytes -= len(request.payload)
        return request

    def prepare(self) -> bool:
        """Build one more request; False if enough are there, or all of them."""
        if self._dry or len(self._ready) >= AHEAD_REQUESTS or (self._ready and self._bytes > AHEAD_BYTES):
            return False
        request = next(self._source, None)
        if request is None:
            self._dry = True
            return False
        self._ready.append(request)
        self._bytes += len(request.payload)
        return True

    def fill(self) -> None:
        while self.prepare():
            pass
