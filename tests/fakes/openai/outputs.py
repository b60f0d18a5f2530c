"""What the pseudo-model says to a prompt: text, thoughts, tool calls, each with tokens and a finish reason."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from tests.fakes.openai import constrained
from tests.fakes.openai.answer import Json
from tests.fakes.openai.language import Sampling, Step, generate, score
from tests.fakes.openai.tokens import END, decode, encode, piece

__all__ = ["Call", "Output", "called", "forced", "spoken", "step_text", "wanted_calls"]


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Output:
    """One choice. ``steps`` are the tokens of ``text``; ``count`` is all that was generated, thoughts and calls too."""

    text: str = ""
    steps: Sequence[Step] = ()
    calls: Sequence[Call] = ()
    thoughts: str = ""
    finish: str = "stop"
    count: int = 0
    thinking: int = 0
    pieces: Sequence[str] = field(default_factory=tuple)


@lru_cache(2048)
def spoken(prompt: tuple[int, ...], sampling: Sampling, *, limit: int | None, stop: tuple[str, ...]) -> Output:
    """Free text, until the model ends it, ``limit`` tokens are said, or one of ``stop`` appears."""
    steps: list[Step] = []
    finish = "length"
    for step in islice(generate(prompt, sampling), limit):
        if step.token == END:
            finish = "stop"
            break
        steps.append(step)
        text = decode([one.token for one in steps])
        cut = min((at for at in (text.find(word) for word in stop) if at >= 0), default=-1)
        if cut >= 0:
            return _cut(steps, text[:cut])
    text = decode([step.token for step in steps])
    return Output(text=text, steps=steps, finish=finish, count=len(steps), pieces=_pieces(steps))


def _cut(steps: list[Step], text: str) -> Output:
    kept: list[Step] = []
    pieces: list[str] = []
    rest = text
    for step in steps:
        if not rest:
            break
        said = step_text(step)[: len(rest)]
        kept.append(step)
        pieces.append(said)
        rest = rest[len(said) :]
    return Output(text=text, steps=kept, finish="stop", count=len(steps), pieces=pieces)


def forced(text: str, *, limit: int | None, before: tuple[int, ...], logprobs: bool) -> Output:
    """A text that a grammar dictated, cut where ``limit`` tokens are said."""
    tokens = encode(text)
    kept = tokens if limit is None else tokens[:limit]
    steps = score(kept, before) if logprobs else [Step(token, {token: 0.0}) for token in kept]
    finish = "stop" if len(kept) == len(tokens) else "length"
    pieces = _pieces(steps)
    return Output(text="".join(pieces), steps=steps, finish=finish, count=len(kept), pieces=pieces)


def called(calls: Sequence[Call], *, finish: str, limit: int | None) -> Output:
    """Tool calls; one that does not fit into ``limit`` tokens is cut inside its arguments."""
    counts = [1 + len(encode(call.name)) + len(encode(call.arguments)) for call in calls]
    total = sum(counts)
    if limit is None or total <= limit:
        return Output(calls=calls, finish=finish, count=total)
    room = max(0, limit - 1 - len(encode(calls[0].name)))
    cut = Call(calls[0].name, decode(encode(calls[0].arguments)[:room]))
    return Output(calls=[cut], finish="length", count=limit)


def step_text(step: Step) -> str:
    return piece(step.token).decode("utf-8", "replace")


def _pieces(steps: Sequence[Step]) -> list[str]:
    """The text of each token; a character of several tokens is said by its last one."""
    pieces: list[str] = []
    held = b""
    for step in steps:
        held += piece(step.token)
        try:
            pieces.append(held.decode())
            held = b""
        except UnicodeDecodeError:
            pieces.append("")
    return pieces


def wanted_calls(body: Json, prompt: Sequence[int], last: str) -> list[Call]:
    """The calls that this request forces, or that a model would make by itself when it is begged for them."""
    functions = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or [] if "function" in tool}
    choice = body.get("tool_choice") or "auto"
    if not functions or choice == "none":
        return []
    seed = f"{body.get('seed')}/{len(prompt)}/{last}"
    if isinstance(choice, dict) and choice.get("type") == "function":
        return [_call(functions[choice["function"]["name"]], seed)]
    if isinstance(choice, dict):
        allowed = {tool["function"]["name"] for tool in choice["allowed_tools"]["tools"]}
        functions = {name: value for name, value in functions.items() if name in allowed}
        choice = choice["allowed_tools"]["mode"]
    begged = [function for name, function in functions.items() if re.search(rf"\b{re.escape(name)}\b", last)]
    if choice == "required" and not begged:
        begged = list(functions.values())[:1]
    return [_call(function, seed) for function in begged[: None if body.get("parallel_tool_calls", True) else 1]]


def _call(function: Json, seed: str) -> Call:
    schema: Any = function.get("parameters") or {"type": "object", "properties": {}}
    return Call(function["name"], json.dumps(json.loads(constrained.text(schema, seed)), ensure_ascii=False))
