"""All traffic of one run: sends, remembers, waits for rate limits, and knows when to stop.

The same request is sent once and answered from memory afterwards, so that many checks share few exchanges.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.check import Ended, Finding, skipped
from llmserve.probe.connection import Connection, Target
from llmserve.probe.dig import as_dict, is_count
from llmserve.probe.exchange import Exchange, Limits, Request
from llmserve.probe.settings import Settings
from llmserve.probe.strict_json import lenient

__all__ = ["Facts", "Session", "asked_to_wait"]

MAX_TIMEOUTS = 6
"""So many exchanges may run out of time, or of room; then the endpoint is given up."""
MAX_WAIT_S = 30.0
MAX_ATTEMPTS = 4

Transport = Callable[[Target, Request, Limits], Exchange]


@dataclass
class Facts:
    """What the run has learnt about the endpoint; see :mod:`llmserve.probe.needs`.

    ``limit_field`` is the field that bounds an answer here, ``sampling`` what makes it deterministic. ``more`` is for
    facts that one area alone needs.
    """

    model: str = ""
    served: tuple[str, ...] = ()
    limit_field: str = "max_tokens"
    sampling: dict[str, Any] = field(default_factory=lambda: {"temperature": 0})
    more: dict[str, Any] = field(default_factory=dict)


class Session:
    """The traffic of one run with one endpoint; safe to use from several threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        *,
        transport: Transport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.target = Target.of(endpoint.base_url)
        self.facts = Facts(model=endpoint.model or "")
        self.exchanges: list[Exchange] = []
        self.earlier: tuple[Exchange, ...] = ()
        self.tokens = 0
        self._transport = transport or self._exchange
        self._open: set[Connection] = set()
        self._sleep = sleep
        self._waited = 0.0
        self._timeouts = 0
        self._lock = threading.Lock()
        self._answers: dict[object, Future[Exchange]] = {}
        self._needs: dict[str, Future[Finding | None]] = {}

    @property
    def seen(self) -> tuple[Exchange, ...]:
        """All exchanges to look back on, also those of a run that this one goes on from."""
        return (*self.earlier, *tuple(self.exchanges))

    @property
    def limits(self) -> Limits:
        total = self.settings.timeout_s
        return Limits(total_s=total, idle_s=min(30.0, total), connect_s=self.endpoint.connect_timeout)

    def send(self, request: Request, *, limits: Limits | None = None, again: int = 0) -> Exchange:
        """The answer to ``request``, from memory where it was sent before; ``again`` numbers wanted repetitions.

        Raises:
            Ended: the endpoint has been given up, or the token budget is spent.
        """
        limits = limits or self.limits
        with self._lock:
            known = self._answers.get((request, limits, again))
            mine: Future[Exchange] = known or Future()
            if not known:
                self._answers[(request, limits, again)] = mine
        if known:
            return known.result()
        try:
            mine.set_result(self._patiently(request, limits))
        except BaseException as error:
            mine.set_exception(error)
            raise
        return mine.result()

    def connection(self) -> Connection:
        """A connection of one's own, for what depends on it; what it carries is not remembered: :meth:`note` it."""
        self._check_budget()
        return Connection(self.target, connect_s=self.endpoint.connect_timeout)

    def abort(self) -> None:
        """End what is in flight, from another thread."""
        with self._lock:
            self._timeouts = MAX_TIMEOUTS
            left = list(self._open)
        for connection in left:
            connection.hang_up()

    def note(self, made: Exchange) -> None:
        """Count an exchange: evidence, tokens, time-outs."""
        with self._lock:
            self.exchanges.append(made)
            self.tokens += _spent(made)
            self._timeouts += made.error in ("timeout", "idle", "connect_timeout", "refused", "too_large")

    def need(self, name: str, find: Callable[[], Finding | None]) -> Finding | None:
        """What the precondition ``name`` found, evaluated once per run."""
        with self._lock:
            known = self._needs.get(name)
            mine: Future[Finding | None] = known or Future()
            if not known:
                self._needs[name] = mine
        if known:
            return known.result()
        try:
            mine.set_result(find())
        except Ended as ended:
            mine.set_result(ended.finding)
        except BaseException as error:
            mine.set_exception(error)
            raise
        return mine.result()

    def _exchange(self, target: Target, request: Request, limits: Limits) -> Exchange:
        """One exchange over a connection of its own."""
        with Connection(target, connect_s=limits.connect_s) as connection:
            with self._lock:
                self._open.add(connection)
            try:
                return connection.exchange(request, limits)
            finally:
                with self._lock:
                    self._open.discard(connection)

    def _patiently(self, request: Request, limits: Limits) -> Exchange:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self._check_budget()
            made = replace(self._transport(self.target, request, limits), attempt=attempt)
            self.note(made)
            wait = asked_to_wait(made)
            if wait is None or attempt == MAX_ATTEMPTS or not self._may_wait(wait):
                return made
            self._sleep(wait)
        raise AssertionError("unreachable")

    def _may_wait(self, wait: float) -> bool:
        with self._lock:
            if wait > MAX_WAIT_S or self._waited + wait > self.settings.wait_s:
                return False
            self._waited += wait
            return True

    def _check_budget(self) -> None:
        if self._timeouts >= MAX_TIMEOUTS:
            raise Ended(skipped(f"given up: {self._timeouts} answers came too late, or to no end"))
        budget = self.settings.budget_tokens
        if budget is not None and self.tokens >= budget:
            raise Ended(skipped(f"the budget of {budget:,} tokens is spent"))


def asked_to_wait(made: Exchange) -> float | None:
    """Seconds that a 429 or 503 asks for (a second where it names none); None where nobody asks."""
    told = made.header("retry-after")
    if made.status != 429 and not (made.status == 503 and told):
        return None
    try:
        return max(0.0, float(told)) if told else 1.0
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 1.0


def _spent(made: Exchange) -> int:
    """Tokens of an exchange: what the answer counts, else what the request allows."""
    usage = as_dict(as_dict(_json(made.body)).get("usage"))
    if is_count(usage.get("total_tokens")):
        return min(int(usage["total_tokens"]), 10**6)
    asked = as_dict(_json(made.request.body))
    fields = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    most = next((asked[name] for name in fields if is_count(asked.get(name))), 0)
    return min(most, 4096) if made.status is not None and made.status < 300 else 0


def _json(body: bytes) -> Any:
    try:
        return lenient(body) if body.startswith(b"{") else None
    except ValueError:
        return None
