"""A batch: so many requests at a time, the answers in the order of the lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from llmserve.chat.batch.requests import Request
from llmserve.chat.trouble import pause, wait_for
from llmserve.errors import LlmserveError, UsageError

__all__ = ["Outcome", "run", "skipped"]

_AHEAD = 4  # times the concurrency: one slow answer must not starve the others
_HOPELESS = frozenset((
    "connection_refused", "unreachable", "unknown_host", "tls", "proxy", "unauthorized", "not_found", "model_not_found",
))  # fmt: skip


class Completing(Protocol):
    def complete(self, body: dict[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one request: the server's JSON, or an error."""

    id: str
    response: dict[str, Any] | None = None
    error: LlmserveError | None = None


def run(
    client: Completing,
    requests: Iterable[Request],
    *,
    concurrency: int,
    check: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Iterator[Outcome]:
    """The outcomes in order. ``check`` may raise for an answer that is not good enough.

    Raises:
        LlmserveError: the server cannot be reached or refuses them all: what is left would fail alike, and is kept for
            the next run.
    """
    pool = ThreadPoolExecutor(concurrency)
    waiting: deque[Future[Outcome]] = deque()
    rest = iter(requests)
    try:
        while True:
            while len(waiting) < _AHEAD * concurrency and (request := next(rest, None)):
                waiting.append(pool.submit(_one, client, request, check))
            if not waiting:
                return
            outcome = waiting.popleft().result()
            if outcome.error and outcome.error.code in _HOPELESS:
                raise outcome.error
            yield outcome
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def skipped(requests: Iterator[Request], ids: list[str]) -> Iterator[Request]:
    """The requests after those that ``ids`` answer.

    Raises:
        UsageError: the answers are of other requests.
    """
    for id_ in ids:
        request = next(requests, None)
        if request is None or request.id != id_:
            found = "nothing" if request is None else repr(request.id)
            raise UsageError(f"The output has an answer to {id_!r} where the input has {found}: another batch's.",
                             hint="Name another file with -o.")  # fmt: skip
    return requests


def _one(client: Completing, request: Request, check: Callable[[dict[str, Any]], None]) -> Outcome:
    attempt = 0
    while True:
        try:
            response = client.complete(request.body)
            check(response)
            return Outcome(id=request.id, response=response)
        except LlmserveError as error:
            wait = wait_for(error, attempt)
            attempt += 1
            if wait is None:
                return Outcome(id=request.id, error=error)
            pause(wait)
