"""The connections: never more than asked, kept from answer to answer, and each failure the request's that it met."""

from __future__ import annotations

import errno
import select
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from llmserve.bench.connection import Connection, Target
from llmserve.bench.exchange import Exchange, Shape
from llmserve.bench.tally import Tally

__all__ = ["Pool"]

CONNECTS_AT_ONCE = 64
RESENDS = 4  # so many may be chance: a server's timer for idle connections
BROKEN = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


Hot = tuple[Callable[[int, int], Any], Callable[[int], "Shape | None"], Callable[[int], None]]


class Pool:
    """``limit`` is the most connections that are open. ``over`` is told of each exchange that has ended.

    ``hot`` is what the reader needs of those in the middle of an answer, by descriptor.
    """

    def __init__(self, target: Target, tally: Tally, over: Callable[[Exchange], None]) -> None:
        self.target, self.tally, self._over = target, tally, over
        self.epoll = select.epoll()
        self.limit = 0
        self.open: dict[int, Connection] = {}
        self.hot: dict[int, Hot] = {}
        self.waiting: deque[Exchange] = deque()
        self.active = 0
        self.connecting = 0
        self._idle: list[Connection] = []
        self._keeps, self._kept = True, 0  # whether connections are kept, and how often one was used again with success

    def close(self) -> None:
        for connection in list(self.open.values()):
            self.drop(connection)
        self.epoll.close()

    def dispatch(self, exchange: Exchange) -> None:
        """Send it now if a connection is free, else as soon as one is."""
        if self._idle:
            self._start(self._idle.pop(), exchange)
            return
        self.waiting.append(exchange)
        self._connect_for_waiting()

    def connect(self) -> bool:
        """Begin one more connection; False if the system refuses."""
        try:
            connection = Connection(self.target, time.time_ns())
        except OSError as error:
            self._no_connection(error)
            return False
        self.open[connection.fd] = connection
        self.tally.most_connections = max(self.tally.most_connections, len(self.open))
        self.connecting += 1
        self.epoll.register(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        return True

    def connected(self, connection: Connection) -> None:
        """A connection is ready for its first request."""
        self.connecting -= 1
        connection.wants_write = bool(connection.to_send)
        self.watch_for(connection)
        if self.waiting:
            exchange = self.waiting.popleft()
            exchange.connect_ns = time.time_ns() - connection.began_ns
            self._start(connection, exchange)
        else:
            self._rest(connection)

    def digested(self, exchange: Exchange) -> None:
        """Nothing of a running answer waits any more: while its tokens look alike, they need not be kept."""
        connection = self.open.get(exchange.fd)
        if connection and connection.plain and connection.exchange is exchange and exchange.predictable:
            self.hot[connection.fd] = connection.recvmsg, exchange.shapes.get, exchange.plain.append

    def watch_for(self, connection: Connection) -> None:
        events = select.EPOLLIN | (select.EPOLLOUT if connection.wants_write else 0)
        self.epoll.modify(connection.fd, events)

    def answered(self, connection: Connection, exchange: Exchange) -> None:
        """The answer has ended, well or not; the connection is free or finished."""
        connection.exchange = None
        self.hot.pop(connection.fd, None)
        self._kept += connection.served > 0
        connection.served += 1
        head = exchange.head
        ends = exchange.cause or head is None or not head.keep_alive or (head.length is None and not head.chunked)
        if ends or not self._keeps:
            self.drop(connection)
        else:
            self._rest(connection)
        self._ended(exchange)

    def closed(self, connection: Connection, now: int) -> None:
        """The peer closed it in order."""
        exchange = connection.exchange
        if exchange is None:
            self.forget(connection)
        elif not self._stale(connection, exchange):
            exchange.closed(now)
            self._finished(connection, exchange)

    def lost(self, connection: Connection, error: OSError) -> None:
        """The connection broke."""
        exchange = connection.exchange
        if not connection.ready:
            self._no_connection(error)
            self.drop(connection)
        elif exchange is None:
            self.forget(connection)
        elif not self._stale(connection, exchange):
            reset = error.errno in BROKEN or isinstance(error, ssl.SSLError)
            exchange.closed(time.time_ns(), error=(error.strerror or str(error)) if reset else str(error))
            self._finished(connection, exchange)

    def forget(self, connection: Connection) -> None:
        """Of an idle connection nothing is left."""
        if connection in self._idle:
            self._idle.remove(connection)
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        if self.open.pop(connection.fd, None) is None:
            return
        self.hot.pop(connection.fd, None)
        if not connection.ready:
            self.connecting -= 1
        connection.close()  # takes it out of epoll, too
        self._connect_for_waiting()

    def _start(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = exchange
        exchange.fd = connection.fd
        self.active += 1
        exchange.sent_ns = time.time_ns()
        try:
            connection.send(exchange.unsent)
        except OSError as error:
            self.lost(connection, error)
            return
        if connection.wants_write:
            self.watch_for(connection)

    def _rest(self, connection: Connection) -> None:
        if self.waiting:
            self._start(connection, self.waiting.popleft())
            return
        self._idle.append(connection)

    def _finished(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = None
        self.drop(connection)
        self._ended(exchange)

    def _ended(self, exchange: Exchange) -> None:
        self.active -= 1
        self._over(exchange)

    def _connect_for_waiting(self) -> None:
        while len(self.waiting) > self.connecting < CONNECTS_AT_ONCE and len(self.open) < self.limit:
            if not self.connect():
                return

    def _no_connection(self, error: Exception) -> None:
        """A connection failed before it carried anything: the request that waited longest fails with it."""
        if self.waiting:
            exchange = self.waiting.popleft()
            cause = "tls" if isinstance(error, ssl.SSLError) else "connect"
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or ""
            exchange.fail(cause, str(why or getattr(error, "strerror", "") or error), time.time_ns())
            self._over(exchange)

    def _stale(self, connection: Connection, exchange: Exchange) -> bool:
        """Send anew what met a kept connection that the server was closing; that is no failure, and it is counted.

        Some servers close after each answer without saying so in its head: then connections are not kept any more.
        """
        if exchange.head or exchange.reads or not connection.served:
            return False
        self.tally.resent += 1
        self._keeps = self.tally.resent < RESENDS or self.tally.resent < self._kept
        connection.exchange = None
        self.drop(connection)
        self.active -= 1
        exchange.unsent = memoryview(exchange.request.payload)
        self.waiting.appendleft(exchange)
        self._connect_for_waiting()
        return True
