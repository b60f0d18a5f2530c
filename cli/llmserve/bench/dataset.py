"""Requests out of files: conversations (ShareGPT), prompts (JSONL), and traces with their arrivals.

One JSON array, or one JSON object a line. Understood are

    {"conversations": [{"from": "human", "value": "..."}, ...]}              ShareGPT: its first question
    {"messages": [...], "output": 200}    {"prompt": "...", "output": 200}   one's own
    {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}        Mooncake: milliseconds
    {"arrival": 0.25, "input": 900, "output": 120}                           seconds, and lengths in tokens
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmserve.bench.lengths import Lengths
from llmserve.bench.payload import Form, Message
from llmserve.bench.records import Request
from llmserve.bench.words import Vocabulary
from llmserve.errors import UsageError

__all__ = ["Entry", "FromFile", "arrivals", "load"]

BLOCK = 512  # tokens that one of Mooncake's hash ids stands for


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line. Either ``messages`` are given, or ``input_tokens`` to make a text of; ``blocks`` name shared parts."""

    messages: tuple[Message, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    arrival_s: float | None = None
    blocks: tuple[int, ...] = ()


def load(path: Path) -> list[Entry]:
    """What the file holds, in its order.

    Raises:
        UsageError: it cannot be read, or a line is of no known form.
    """
    try:
        text = path.read_text(encoding="utf-8")
        items = json.loads(text) if text.lstrip().startswith("[") else _lines(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from error
    except ValueError as error:
        raise UsageError(f"{path} is neither JSON nor JSONL: {error}.", hint=_HINT) from error
    entries = []
    for number, item in enumerate(items, 1):
        entry = _entry(item) if isinstance(item, dict) else None
        if entry is None:
            raise UsageError(f"{path}: item {number} is of no form that is known.", hint=_HINT)
        entries.append(entry)
    if not entries:
        raise UsageError(f"{path} holds nothing.", hint=_HINT)
    return entries


_HINT = 'Lines are {"messages": [...]}, {"prompt": "..."}, ShareGPT, Mooncake, or {"arrival", "input", "output"}.'


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _entry(item: dict[str, Any]) -> Entry | None:
    try:
        if "conversations" in item:
            asked = [one["value"] for one in item["conversations"] if one.get("from") in ("human", "user")]
            return Entry(messages=({"role": "user", "content": str(asked[0])},))
        output = item.get("output", item.get("output_length", item.get("max_tokens")))
        tokens = None if output is None else max(1, int(output))
        when = item["timestamp"] / 1e3 if "timestamp" in item else item.get("arrival")
        arrival = None if when is None else float(when)
        if "messages" in item or "prompt" in item:
            said = item.get("messages") or [{"role": "user", "content": str(item["prompt"])}]
            return Entry(messages=tuple(said), output_tokens=tokens, arrival_s=arrival)
        length = int(item.get("input_length", item.get("input", 0)))
        blocks = tuple(int(block) for block in item.get("hash_ids") or ())
        return (
            Entry(input_tokens=length, output_tokens=tokens, arrival_s=arrival, blocks=blocks) if length > 0 else None
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def arrivals(entries: Sequence[Entry], speed: float) -> Iterator[float]:
    """The trace's own times in seconds from its first, ``speed`` times as fast.

    Raises:
        UsageError: a line has no time.
    """
    times = [entry.arrival_s for entry in entries]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        raise UsageError("The trace has lines without a time.", hint=_HINT)
    first = min(known)
    return iter(sorted((time - first) / speed for time in known))


@dataclass(frozen=True, kw_only=True)
class FromFile:
    """The file's requests, again and again unless ``once``. What it does not say is drawn or made up.

    Shared blocks of a trace are the same text in every request of this run, and another text in the next run. Questions
    that the file gives begin with a word of their run, unless ``repeatable``: what they share among themselves stays
    shared, but no cache knows them from the run before.
    """

    entries: Sequence[Entry]
    form: Form
    vocabulary: Vocabulary
    outputs: Lengths
    once: bool = False
    seed: int = 0
    repeatable: bool = False

    nonce: int = field(default_factory=lambda: random.SystemRandom().getrandbits(64))

    def stream(self, stage: int) -> Iterator[Request]:
        lengths = random.Random(f"{self.seed}/{stage}")  # noqa: S311
        nonce = str(self.seed) if self.repeatable else f"{self.nonce:016x}/{stage}"
        text = random.Random(nonce)  # noqa: S311
        mark = "" if self.repeatable else f"({text.getrandbits(32):08x}) "
        entries = sorted(self.entries, key=lambda entry: entry.arrival_s or 0.0) if self.once else self.entries
        session = 0
        while True:
            for entry in entries:
                messages = _marked(entry.messages, mark) or [self._made_up(entry, text, nonce)]
                answer = entry.output_tokens or self.outputs.draw(lengths)
                yield Request(
                    payload=self.form.payload(messages, answer), input_tokens=entry.input_tokens, session=session,
                    output_tokens=None if self.form.api == "embeddings" else answer, turn=1,
                )  # fmt: skip
                session += 1
            if self.once:
                return

    def _made_up(self, entry: Entry, text: random.Random, nonce: str) -> Message:
        room = max(1, (entry.input_tokens or 1) - self.vocabulary.overhead)
        parts = []
        for block in entry.blocks:
            if room <= BLOCK:
                break
            parts.append(self.vocabulary.text(BLOCK, random.Random(f"{nonce}/{block}")))  # noqa: S311
            room -= BLOCK
        return {"role": "user", "content": " ".join([*parts, self.vocabulary.text(room, text)])}


def _marked(messages: Sequence[Message], mark: str) -> list[Message]:
    """The messages, the first text of them beginning with ``mark``."""
    if not messages or not mark:
        return list(messages)
    first, *rest = messages
    content = first.get("content")
    if isinstance(content, str):
        return [{**first, "content": mark + content}, *rest]
    return [{**first, "content": [{"type": "text", "text": mark.strip()}, *content]}, *rest] if content else [*messages]
