"""``llmserve chat --jsonl``: many requests, one a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from llmserve.chat import schema as schemas
from llmserve.chat.batch import output as answers
from llmserve.chat.batch.requests import requests
from llmserve.chat.batch.run import run, skipped
from llmserve.endpoint import wire
from llmserve.endpoint.client import Client
from llmserve.errors import InterruptedByUser, LlmserveError, UsageError
from llmserve.output import Output
from llmserve.result import Result

__all__ = ["batch"]


def batch(
    client: Client,
    source: str,
    *,
    defaults: dict[str, Any],
    system: str | None,
    target: Path | None,
    concurrency: int,
    schema: dict[str, Any] | None,
    output: Output,
) -> Result:
    """Answer the lines of the file ``source`` (``-``: stdin) into ``target``, or onto stdout."""
    began = time.monotonic()
    with ExitStack() as stack:
        todo = requests(_lines(source, stack), defaults, system)
        ids: list[str] = []
        sink: TextIO = output.out
        if target:
            sink, ids = answers.done(target)
            stack.enter_context(sink)
            todo = skipped(todo, ids)
        good = bad = 0
        try:
            for outcome in run(client, todo, concurrency=concurrency, check=_check(schema)):
                sink.write(answers.line(outcome.id, outcome.response, outcome.error))
                sink.flush()
                good, bad = good + (outcome.error is None), bad + (outcome.error is not None)
        except (KeyboardInterrupt, LlmserveError) as error:
            raise _broken_off(error, good + bad, target) from error
    counts = {"answered": good, "failed": bad, "skipped": len(ids), "seconds": round(time.monotonic() - began, 3)}
    earlier = f", {len(ids)} were there already" if ids else ""
    said = f"{good} answered, {bad} failed{earlier}."
    return Result(data=counts if target else {}, messages=(said,), exit_code=1 if bad else 0)


def _lines(source: str, stack: ExitStack) -> Iterator[str]:
    if source == "-":
        return (raw.decode("utf-8", "replace") for raw in sys.stdin.buffer)
    try:
        return iter(stack.enter_context(Path(source).open(encoding="utf-8", errors="replace")))
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}.") from error


def _check(schema: dict[str, Any] | None) -> Callable[[dict[str, Any]], None]:
    def check(response: dict[str, Any]) -> None:
        answer = wire.completion(response)
        if schema is not None and answer:
            schemas.check(answer.content, schema)

    return check


def _broken_off(error: BaseException, done: int, target: Path | None) -> LlmserveError:
    again = f"The same command goes on from there: {target} holds what is done." if target else None
    if isinstance(error, LlmserveError):
        error.hint = f"{error.hint or ''} {again or ''}".strip() or None
        error.data |= {"done": done}
        return error
    return InterruptedByUser(f"Stopped after {done} answers.", hint=again, data={"done": done})
