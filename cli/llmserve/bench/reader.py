"""From ready descriptors to stored reads: the hot path."""

from __future__ import annotations

import select
import time

from llmserve.bench.backlog import Backlog
from llmserve.bench.connection import ANCILLARY, READ, Connection, stamp_of, timespec
from llmserve.bench.pool import Pool
from llmserve.bench.timer import Timer

__all__ = ["Reader"]

_IN = select.EPOLLIN


class Reader:
    """Handles the events of a pool's sockets.

    A read is stored for later, unless it is known what it is: one token that differs from those before it in its text
    alone.
    """

    def __init__(self, pool: Pool, timer: Timer, backlog: Backlog) -> None:
        self.pool, self.timer, self.backlog = pool, timer, backlog

    def handle(self, events: list[tuple[int, int]]) -> None:
        hot, tally, clock = self.pool.hot.get, self.pool.tally, time.time_ns
        lag, reads = tally.lags.append, 0
        for fd, mask in events:
            known = hot(fd)
            if known is None or mask != _IN:
                self._one(fd, mask)
                continue
            recvmsg, shape_of, note = known
            try:
                data, ancillary, _, _ = recvmsg(READ, ANCILLARY)
            except OSError as error:
                self._failed(fd, error)
                continue
            now = clock()
            shape = shape_of(len(data))
            if shape and ancillary:
                before, text, after, tail = shape
                if (
                    data.find(b'"', text) == after
                    and data.startswith(before)
                    and data.endswith(tail)
                    and data.find(b"\\", text, after) < 0
                ):
                    seconds, nanoseconds = timespec(ancillary[0][2])  # as in stamp_of: a call for each is too dear
                    stamp = seconds * 1_000_000_000 + nanoseconds
                    lag(now - stamp)
                    note(stamp)
                    reads += 1
                    continue
            self._came(fd, data, ancillary, now)
        tally.reads += reads

    def _one(self, fd: int, mask: int) -> None:
        """Whatever is not a read in the middle of an answer in the clear."""
        connection = self.pool.open.get(fd)
        if connection is not None:
            self._rarely(connection, mask)
        elif fd == self.timer.fd:
            self.timer.fired()

    def _failed(self, fd: int, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self.pool.lost(self.pool.open[fd], error)

    def _rarely(self, connection: Connection, mask: int) -> None:
        """Connecting, TLS, writing, beginnings and ends."""
        try:
            if not connection.ready:
                self._advance(connection)
            elif mask & select.EPOLLOUT and connection.wants_write:
                self._write(connection)
            elif connection.tls and mask & select.EPOLLIN:
                self._read_tls(connection)
            else:
                self._read_plain(connection)
        except OSError as error:
            self.pool.lost(connection, error)

    def _advance(self, connection: Connection) -> None:
        if connection.advance():
            self.pool.connected(connection)
        else:
            self.pool.watch_for(connection)

    def _write(self, connection: Connection) -> None:
        connection.push()
        if not connection.wants_write:
            self.pool.watch_for(connection)

    def _read_tls(self, connection: Connection) -> None:
        data, ancillary, _, _ = connection.recvmsg(READ, ANCILLARY)
        now = time.time_ns()
        stamp = self._noted(ancillary, now)
        plain, ended = connection.opened(data) if data else (b"", True)
        if plain:
            self._taken(connection, plain, stamp)
        if ended and self.pool.open.get(connection.fd) is connection:
            self.pool.closed(connection, now)

    def _read_plain(self, connection: Connection) -> None:
        if connection.exchange is None:  # idle and readable: the peer closed it, or speaks out of turn
            self.pool.forget(connection)
            return
        data, ancillary, _, _ = connection.recvmsg(READ, ANCILLARY)
        self._came(connection.fd, data, ancillary, time.time_ns())

    def _came(self, fd: int, data: bytes, ancillary: list[tuple[int, int, bytes]], now: int) -> None:
        connection = self.pool.open[fd]
        if data:
            self._taken(connection, data, self._noted(ancillary, now))
        else:
            self.pool.closed(connection, now)

    def _taken(self, connection: Connection, data: bytes, stamp: int) -> None:
        exchange = connection.exchange
        if exchange is None:
            return
        exchange.take(data, stamp)
        if exchange.ended:
            self.pool.answered(connection, exchange)
        else:
            self.pool.hot.pop(connection.fd, None)  # what comes next waits its turn behind this
            self.backlog.add(exchange)

    def _noted(self, ancillary: list[tuple[int, int, bytes]], now: int) -> int:
        """The kernel's stamp of a read, or this process's; what it tells of the client is noted."""
        tally = self.pool.tally
        tally.reads += 1
        stamp = stamp_of(ancillary)
        if not stamp:
            tally.unstamped += 1
            return now
        tally.lags.append(now - stamp)
        return stamp
