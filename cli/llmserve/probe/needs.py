"""What must work before other checks mean anything: each is found out once per run.

A need is a function of the context that returns None where it is met, else the finding for every check that needs it.
An area's own needs stand beside its checks: the catalogue collects them there, as it does checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmserve.probe.answer import Answer
from llmserve.probe.check import Finding, inconclusive, not_applicable, skipped
from llmserve.probe.context import Context
from llmserve.probe.dig import as_dict, as_list, dig, is_count

__all__ = ["Need", "chat", "greedy", "key", "model", "need", "route_missing", "stream", "usage"]


@dataclass(frozen=True)
class Need:
    """A precondition by its name. ``needs`` are found out before it, ``requests`` the most that it sends."""

    name: str
    find: Callable[[Context], Finding | None]
    needs: tuple[str, ...] = ()
    requests: int = 0


def need(
    name: str, *, needs: tuple[str, ...] = (), requests: int = 0
) -> Callable[[Callable[[Context], Finding | None]], Need]:
    """The decorator by which a function becomes a need."""
    return lambda function: Need(name, function, needs, requests)


@need("key")
def key(ctx: Context) -> Finding | None:
    return None if ctx.session.endpoint.api_key else skipped("no key is given, so nothing can be said about keys")


@need("model", requests=1)
def model(ctx: Context) -> Finding | None:
    """A model's id, from the user or from the list."""
    data = ctx.get("/models").data
    listed = as_list(data) or as_list(dig(data, "data"))  # Together sends the bare list
    ids = [one for one in (as_dict(item).get("id") for item in listed) if isinstance(one, str) and one]
    ctx.facts.served = tuple(ids)
    ctx.facts.model = ctx.facts.model or (ids[0] if ids else "")
    return None if ctx.facts.model else skipped("no model is named, and /models lists none: give --model")


@need("chat", needs=("model",), requests=2)
def chat(ctx: Context) -> Finding | None:
    """A plain chat request is answered."""
    answer = ctx.chat()
    while not answer.is_ok and _adapted(ctx, answer):
        answer = ctx.chat()
    if answer.is_ok and answer.choices:
        return None
    if answer.is_absent and not answer.exchange.error:
        return not_applicable(f"there is no chat here: {answer.brief()}")
    if answer.is_ok:
        return skipped("a plain chat request is answered without choices (see chat.answers)")
    return skipped(f"a plain chat request is not answered: {answer.brief()} (see chat.answers)")


def _adapted(ctx: Context, answer: Answer) -> bool:
    """Newer models of some providers refuse a field that others need; whether there is another form to try."""
    if answer.status != 400:
        return False
    facts, said = ctx.facts, answer.said.lower()
    if facts.limit_field == "max_tokens" and "max_completion_tokens" in said:
        facts.limit_field = "max_completion_tokens"
        return True
    if facts.sampling and "temperature" in said:
        facts.sampling = {}
        return True
    return False


@need("stream", needs=("chat",), requests=1)
def stream(ctx: Context) -> Finding | None:
    """A plain streamed chat request brings chunks with choices."""
    answer = ctx.chat_stream()
    if any(chunk.choices for chunk in answer.chunks):
        return None
    return skipped(f"a plain stream brings no chunk with choices: {answer.brief()} (see stream.answers)")


@need("usage", needs=("chat",))
def usage(ctx: Context) -> Finding | None:
    """Answers count prompt tokens: how checks see what reached the model."""
    if is_count(ctx.chat().usage.get("prompt_tokens")):
        return None
    return inconclusive("answers have no usage.prompt_tokens to judge by (see chat.usage.present)")


@need("greedy", needs=("chat",), requests=1)
def greedy(ctx: Context) -> Finding | None:
    """The same request at temperature 0 brings the same text twice."""
    first, second = ctx.chat(tokens=24), ctx.chat(tokens=24, again=1)
    if not ctx.facts.sampling:
        return inconclusive("this model takes no temperature, so its text cannot be foreseen")
    if first.text and first.text == second.text:
        return None
    return inconclusive("two greedy answers differ or are empty, so text cannot be foreseen")


def route_missing(answer: Answer, what: str) -> Finding | None:
    """For needs of other routes: None if the answer is a 2xx; n/a if it says that there is no such thing here; else
    skipped, for one check of the area judges the answer itself."""
    if answer.is_ok:
        return None
    if not answer.exchange.error and (answer.is_absent or answer.is_refused):
        return not_applicable(f"there are no {what} here: {answer.brief()}")
    return skipped(f"a plain request for {what} is not answered: {answer.brief()}")
