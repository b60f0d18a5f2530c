"""What came and is not interpreted yet: worked off when the sockets leave time for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from llmserve.bench.exchange import Exchange
from llmserve.bench.table import Table
from llmserve.bench.tally import Tally

__all__ = ["SLICE", "Backlog"]

SLICE = 48  # stored reads that are interpreted before the sockets are looked at again
HEAVY = 4 * 1024**2  # bytes that may wait before they take precedence
EACH = 4096  # what an exchange takes beside its reads


class Backlog:
    """Exchanges that have ended, and running ones of which something waits. Each that has ended becomes a row.

    ``digested`` is told of running ones of which nothing waits any more, ``followed`` of those that have a next turn,
    with whether their answer was good.
    """

    def __init__(
        self, table: Table, tally: Tally, base_ns: int, *, digested: Callable[[Exchange], None],
        followed: Callable[[Exchange, bool], None],
    ) -> None:  # fmt: skip
        self.table, self.tally = table, tally
        self._base_ns, self._digested, self._followed = base_ns, digested, followed
        self._queue: deque[Exchange] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def heavy(self) -> bool:
        return self._bytes > HEAVY

    def add(self, exchange: Exchange) -> None:
        if exchange.ended:
            self._bytes += EACH + sum(map(len, exchange.reads))
        if not exchange.queued:
            exchange.queued = True
            self._queue.append(exchange)

    def work(self) -> None:
        """Interpret a slice."""
        exchange = self._queue[0]
        if exchange.ended:
            self._bytes -= sum(map(len, exchange.reads[:SLICE]))
        if not exchange.digest(SLICE):
            return
        self._queue.popleft()
        exchange.queued = False
        if exchange.ended:
            self._bytes -= EACH
            self._record(exchange)
        else:
            self._digested(exchange)

    def _record(self, exchange: Exchange) -> None:
        row = exchange.row(self._base_ns)
        self.table.add(row)
        self.tally.coalesced += exchange.decoder.coalesced
        if row.cause and row.cause not in self.tally.examples:
            self.tally.examples[row.cause] = exchange.detail[:300]
        if exchange.request.followup is not None:
            self._followed(exchange, row.ok)
