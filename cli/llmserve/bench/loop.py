"""The event loop: it sends when it should, stores what comes with the kernel's stamps, and interprets when idle."""

from __future__ import annotations

import errno
import gc
import heapq
import select
import ssl
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from llmserve.bench.connection import ANCILLARY, READ, Connection, Target, stamp_of
from llmserve.bench.exchange import Exchange
from llmserve.bench.records import Request
from llmserve.bench.table import Table
from llmserve.bench.timer import Timer

__all__ = ["Drive", "Loop", "Tally"]

BATCH = 32  # events between two looks at the schedule
SLICE = 48  # stored reads that are interpreted before the sockets are looked at again
BACKLOG = 8 * 1024**2  # bytes that may wait for interpretation before it takes precedence
SWEEP_NS = 50_000_000
CONNECTS_AT_ONCE = 64
RESENDS = 4  # so many may be chance: a server's timer for idle connections
SPIN_NS = 1_000_000
FEW, PAUSE_NS = 8, 200_000


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One stage for the loop: what to send, when, and the bounds.

    ``arrivals`` are seconds from the stage's start (open loop); None sends as soon as one of ``users`` is free (closed
    loop). ``connections`` is the most that are ever open. ``until_s`` ends the sending, ``drain_s`` the waiting after
    it. ``give_up_after`` failures in a row end the stage. ``prepare`` builds a request ahead when there is time, and
    says whether it did.
    """

    requests: Iterator[Request]
    connections: int
    arrivals: Iterator[float] | None = None
    users: int = 1
    until_s: float | None = None
    drain_s: float = 60.0
    timeout_s: float = 600.0
    connect_timeout_s: float = 10.0
    give_up_after: int = 128
    prepare: Callable[[], bool] | None = None


@dataclass(kw_only=True)
class Tally:
    """What the loop notes about itself, over all its stages. Lags and lateness are nanoseconds."""

    lags: array[int] = field(default_factory=lambda: array("q"))
    lateness: array[int] = field(default_factory=lambda: array("q"))
    reads: int = 0
    unstamped: int = 0
    coalesced: int = 0
    resent: int = 0
    clock_steps: list[int] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    waited_s: float = 0.0
    wall_s: float = 0.0
    gave_up: str = ""
    stopped: bool = False
    most_connections: int = 0


class Loop:
    """Runs drives against one target; connections are kept from one drive to the next. Use it in one thread."""

    def __init__(self, target: Target, api: str, table: Table, *, watch: Callable[[Loop], None] | None = None) -> None:
        self.target, self.api, self.table, self.watch = target, api, table, watch
        self.tally = Tally()
        self.stop = False  # set by a signal's handler: the run ends with what it has
        self.base_ns = time.time_ns()
        self._offset = self.base_ns - time.monotonic_ns()
        self._timer = Timer()
        self._epoll = select.epoll()
        if self._timer.fd is not None:
            self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._open: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._connecting = 0
        self._waiting: deque[Exchange] = deque()
        self._digests: deque[Exchange] = deque()
        self._backlog = 0
        self._later: list[tuple[int, int, Request]] = []  # follow-ups: when (monotonic), a tie-breaker, what
        self._order = count()
        self._active = 0
        self._failures = 0
        self._next_sweep = 0
        self._keeps, self._kept = True, 0  # whether connections are kept, and how often one was used again with success
        self._hard_end: int | None = None
        self._arrivals: Iterator[float] | None = None
        self._next_due: int | None = None
        self._exhausted = False
        self._begin = 0

    @property
    def in_flight(self) -> int:
        return self._active

    @property
    def offset_ns(self) -> int:
        """The realtime clock minus the monotonic one."""
        return self._offset

    def close(self) -> None:
        for connection in list(self._open.values()):
            self._drop(connection)
        self._epoll.close()
        self._timer.close()

    def connect_ahead(self, number: int, timeout_s: float = 5.0) -> None:
        """Open ``number`` connections before the clock starts; those that fail are tried again when needed."""
        ends = time.monotonic_ns() + int(timeout_s * 1e9)
        wanted = number - len(self._open)
        self._drive = Drive(requests=iter(()), connections=number)
        while (wanted > 0 or self._connecting) and time.monotonic_ns() < ends and not self.stop:
            while wanted > 0 and self._connecting < CONNECTS_AT_ONCE:
                wanted -= 1
                if not self._connect():
                    return
            self._turn(20_000_000)

    def run(self, drive: Drive) -> None:
        """Run one stage to its end. A cycle collector's pause would be charged to the schedule: it is off meanwhile."""
        self._drive = drive
        self._failures = 0
        collecting = gc.isenabled()
        gc.collect()
        gc.freeze()
        gc.disable()
        cpu, waited, began = time.process_time(), _waited(), time.monotonic_ns()
        try:
            self._run(began)
        finally:
            self.tally.cpu_s += time.process_time() - cpu
            self.tally.waited_s += _waited() - waited
            self.tally.wall_s += (time.monotonic_ns() - began) / 1e9
            gc.unfreeze()
            if collecting:
                gc.enable()

    def _run(self, began: int) -> None:
        drive = self._drive
        until = None if drive.until_s is None else began + int(drive.until_s * 1e9)
        self._arrivals, self._begin = drive.arrivals, began
        self._exhausted = False
        self._next_due = self._arrival() if drive.arrivals is not None else None
        if drive.arrivals is None:
            for _ in range(drive.users):
                self._next_user(began)
        while True:
            now = time.monotonic_ns()
            if until is not None and now >= until:
                self._due(until)  # what was due before is sent, late or not
                self._exhausted, self._next_due, until = True, None, None
                self._hard_end = now + int(drive.drain_s * 1e9)
                self._later.clear()
                self._never_sent(now + self._offset)
            if self._ended(now):
                break
            self._due(now)
            self._turn(self._patience(now, until))
        self._finish()

    def _ended(self, now: int) -> bool:
        if self.stop or self.tally.gave_up or (self._hard_end is not None and now >= self._hard_end):
            return True
        done = self._exhausted or (self._arrivals is not None and self._next_due is None)
        return done and not self._active and not self._waiting and not self._later and not self._digests

    def _finish(self) -> None:
        """End what still runs, and interpret what is stored."""
        self._hard_end = None
        now = time.time_ns()
        self.tally.stopped = self.tally.stopped or self.stop
        for connection in [one for one in self._open.values() if one.exchange]:
            exchange = connection.exchange
            assert exchange
            exchange.fail("interrupted", "the run ended before the answer", now)
            self._conclude(exchange)
            self._drop(connection)
        self._never_sent(now)
        self._later.clear()
        while self._digests:
            self._digest()

    def _never_sent(self, now_ns: int) -> None:
        """What still waits for a connection is a row all the same, for it was due."""
        while self._waiting:
            exchange = self._waiting.popleft()
            exchange.fail("interrupted", "the run ended before it could be sent", now_ns)
            self._conclude(exchange)

    # --- the schedule

    def _arrival(self) -> int | None:
        assert self._arrivals is not None
        offset = next(self._arrivals, None)
        return None if offset is None else self._begin + int(offset * 1e9)

    def _due(self, now: int) -> None:
        """Send everything whose time has come."""
        while self._next_due is not None and self._next_due <= now:
            due = self._next_due
            request = next(self._drive.requests, None)
            if request is None:
                self._next_due = None
                return
            self._next_due = self._arrival()
            self._dispatch(Exchange(request, due + self._offset, self.api))
        while self._later and self._later[0][0] <= now:
            due, _, request = heapq.heappop(self._later)
            self._dispatch(Exchange(request, due + self._offset, self.api))

    def _next_user(self, due: int) -> None:
        """Closed loop: a user is free since ``due`` and asks the next question."""
        request = None if self._exhausted or self.stop else next(self._drive.requests, None)
        if request is None:
            self._exhausted = True
            return
        self._dispatch(Exchange(request, due + self._offset, self.api))

    def _dispatch(self, exchange: Exchange) -> None:
        if self._arrivals is not None:
            self.tally.lateness.append(time.time_ns() - exchange.intended_ns)
        if self._idle:
            self._start(self._idle.pop(), exchange)
            return
        self._waiting.append(exchange)
        self._connect_for_waiting()

    def _connect_for_waiting(self) -> None:
        while len(self._waiting) > self._connecting < CONNECTS_AT_ONCE and len(self._open) < self._drive.connections:
            if not self._connect():
                return

    def _patience(self, now: int, until: int | None) -> int:
        """Nanoseconds until something is due."""
        wakes = [one for one in (self._next_due, self._later[0][0] if self._later else None, until) if one is not None]
        return max(0, min(wakes) - now) if wakes else SWEEP_NS

    # --- sockets

    def _turn(self, patience: int) -> None:
        """Wait for events, at most ``patience`` nanoseconds, and handle them."""
        digesting = bool(self._digests)
        timeout = 0.0
        if (
            not digesting
            and patience > 0
            and not (patience > SPIN_NS and self._drive.prepare and self._drive.prepare())
        ):
            timeout = self._sleep(min(patience, SWEEP_NS))
        events = self._epoll.poll(timeout, BATCH)
        if events:
            self._handle(events)
            if len(events) < FEW and not digesting and patience > PAUSE_NS * 2:
                time.sleep(PAUSE_NS / 1e9)
        if digesting and (not events or self._backlog > BACKLOG):
            self._digest()
        now = time.monotonic_ns()
        if now >= self._next_sweep:
            self._sweep(now)

    def _sleep(self, patience: int) -> float:
        if self._timer.fd is None:
            return max(0, patience - SPIN_NS) // 1_000_000 / 1000  # whole milliseconds, and the rest by looking often
        if patience < SWEEP_NS:
            self._timer.arm(time.monotonic_ns() + patience)
        return SWEEP_NS / 1e9

    def _handle(self, events: list[tuple[int, int]]) -> None:
        opened, clock, tally = self._open, time.time_ns, self.tally
        lag, reads = tally.lags.append, 0
        for fd, mask in events:
            connection = opened.get(fd)
            if connection is None:
                if fd == self._timer.fd:
                    self._timer.fired()
                continue
            exchange = connection.exchange
            if not connection.plain or exchange is None or not mask & select.EPOLLIN:
                self._rarely(connection, mask)
                continue
            try:
                data, ancillary, _, _ = connection.recvmsg(READ, ANCILLARY)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lost(connection, error)
                continue
            now = clock()
            stamp = stamp_of(ancillary)
            if not data:
                self._closed(connection, now)
                continue
            if stamp:
                lag(now - stamp)
            else:
                tally.unstamped += 1
                stamp = now
            reads += 1
            exchange.take(data, stamp)
            if exchange.ended:
                self._answered(connection, exchange)
            elif len(exchange.reads) >= SLICE and not exchange.queued:
                exchange.queued = True
                self._digests.append(exchange)
            if connection.wants_write and mask & select.EPOLLOUT:
                self._write(connection)
        tally.reads += reads

    def _rarely(self, connection: Connection, mask: int) -> None:
        """Whatever is not a read of a running answer in the clear: connecting, TLS, writing, ends."""
        try:
            if not connection.ready:
                self._advance(connection)
            elif mask & select.EPOLLOUT and connection.wants_write:
                self._write(connection)
            elif connection.tls and mask & select.EPOLLIN:
                self._read_tls(connection)
            else:
                self._unasked(connection)
        except OSError as error:
            self._lost(connection, error)

    def _advance(self, connection: Connection) -> None:
        if not connection.advance():
            self._watch_for(connection)
            return
        self._connecting -= 1
        connection.wants_write = bool(connection.to_send)
        self._watch_for(connection)
        if self._waiting:
            exchange = self._waiting.popleft()
            exchange.connect_ns = time.time_ns() - connection.began_ns
            self._start(connection, exchange)
        else:
            self._rest(connection)

    def _watch_for(self, connection: Connection) -> None:
        events = select.EPOLLIN | (select.EPOLLOUT if connection.wants_write else 0)
        self._epoll.modify(connection.fd, events)

    def _write(self, connection: Connection) -> None:
        connection.push()
        if not connection.wants_write:
            self._watch_for(connection)

    def _read_tls(self, connection: Connection) -> None:
        data, ancillary, _, _ = connection.recvmsg(READ, ANCILLARY)
        now = time.time_ns()
        stamp = stamp_of(ancillary)
        self.tally.reads += 1
        if stamp:
            self.tally.lags.append(now - stamp)
        else:
            self.tally.unstamped += 1
        plain, ended = connection.opened(data) if data else (b"", True)
        exchange = connection.exchange
        if exchange and plain:
            exchange.take(plain, stamp or now)
            if exchange.ended:
                self._answered(connection, exchange)
        if ended and self._open.get(connection.fd) is connection:
            self._closed(connection, now)

    def _unasked(self, connection: Connection) -> None:
        """An idle connection became readable: the peer closed it, or speaks out of turn."""
        if connection.exchange:
            data = connection.sock.recv(READ)  # only errors and hang-ups get here
            if data:
                connection.exchange.take(data, time.time_ns())
                return
            self._closed(connection, time.time_ns())
            return
        self._forget(connection)

    # --- the life of a connection

    def _connect(self) -> bool:
        now = time.time_ns()
        try:
            connection = Connection(self.target, now)
        except OSError as error:
            self._no_connection(error)
            return False
        self._open[connection.fd] = connection
        self.tally.most_connections = max(self.tally.most_connections, len(self._open))
        self._connecting += 1
        self._epoll.register(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        return True

    def _no_connection(self, error: Exception) -> None:
        """A connection failed before it carried anything: the request that waited longest fails with it."""
        if self._waiting:
            exchange = self._waiting.popleft()
            tls = isinstance(error, ssl.SSLError)
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or ""
            exchange.fail(
                "tls" if tls else "connect", str(why or getattr(error, "strerror", "") or error), time.time_ns()
            )
            self._active += 1
            self._over(exchange)

    def _start(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = exchange
        self._active += 1
        exchange.sent_ns = time.time_ns()
        try:
            connection.send(exchange.unsent)
        except OSError as error:
            self._lost(connection, error)
            return
        if connection.wants_write:
            self._watch_for(connection)

    def _answered(self, connection: Connection, exchange: Exchange) -> None:
        """The answer has ended, well or not; the connection is free or finished."""
        connection.exchange = None
        self._kept += connection.served > 0
        connection.served += 1
        head = exchange.head
        ends = exchange.cause or head is None or not head.keep_alive or (head.length is None and not head.chunked)
        if ends or not self._keeps:
            self._drop(connection)
        else:
            self._rest(connection)
        self._over(exchange)

    def _rest(self, connection: Connection) -> None:
        if self._waiting:
            self._start(connection, self._waiting.popleft())
            return
        self._idle.append(connection)

    def _closed(self, connection: Connection, now: int) -> None:
        exchange = connection.exchange
        if exchange is None:
            self._forget(connection)
            return
        if self._stale(connection, exchange):
            return
        exchange.closed(now)
        connection.exchange = None
        self._drop(connection)
        self._over(exchange)

    def _lost(self, connection: Connection, error: OSError) -> None:
        """The connection broke."""
        exchange = connection.exchange
        if not connection.ready:
            self._no_connection(error)
            self._drop(connection)
            return
        if exchange is None:
            self._forget(connection)
            return
        if self._stale(connection, exchange):
            return
        reset = error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED) or isinstance(error, ssl.SSLError)
        exchange.closed(time.time_ns(), error=(error.strerror or str(error)) if reset else str(error))
        connection.exchange = None
        self._drop(connection)
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
        self._drop(connection)
        self._active -= 1
        exchange.unsent = memoryview(exchange.request.payload)
        self._waiting.appendleft(exchange)
        self._connect_for_waiting()
        return True

    def _forget(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if self._open.pop(connection.fd, None) is None:
            return
        if not connection.ready:
            self._connecting -= 1
        connection.close()  # takes it out of epoll, too
        self._connect_for_waiting()

    # --- what has ended

    def _over(self, exchange: Exchange) -> None:
        self._active -= 1
        failed = exchange.cause or (exchange.head and exchange.head.status >= 300)
        self._failures = self._failures + 1 if failed else 0
        follows = exchange.request.followup is not None
        self._conclude(exchange)
        if self._failures >= self._drive.give_up_after and not self.tally.gave_up:
            why = exchange.cause or f"status {exchange.head.status if exchange.head else 0}"
            self.tally.gave_up = f"The last {self._failures} requests failed ({why})."
        if self._arrivals is None and not follows and not self.tally.gave_up:
            self._next_user(exchange.end_ns - self._offset)

    def _conclude(self, exchange: Exchange) -> None:
        self._backlog += sum(map(len, exchange.reads))
        if not exchange.queued:
            exchange.queued = True
            self._digests.append(exchange)

    def _digest(self) -> None:
        """Interpret a slice of what is stored."""
        exchange = self._digests[0]
        if exchange.ended:
            self._backlog -= sum(map(len, exchange.reads[:SLICE]))
        whole = exchange.digest(SLICE)
        if not whole:
            return
        self._digests.popleft()
        exchange.queued = False
        if exchange.ended:
            self._record(exchange)

    def _record(self, exchange: Exchange) -> None:
        row = exchange.row(self.base_ns)
        self.table.add(row)
        self.tally.coalesced += exchange.decoder.coalesced
        if row.cause and row.cause not in self.tally.examples:
            self.tally.examples[row.cause] = exchange.detail[:300]
        followup = exchange.request.followup
        if followup is None:
            return
        turn = followup(exchange.text) if row.ok and not self._exhausted_by_end() else None
        if turn is not None:
            pause, request = turn
            due = max(exchange.end_ns - self._offset, 0) + int(pause * 1e9)
            heapq.heappush(self._later, (due, next(self._order), request))
        elif self._arrivals is None and not self.tally.gave_up:
            self._next_user(time.monotonic_ns())

    def _exhausted_by_end(self) -> bool:
        return self.stop or self._hard_end is not None

    def _sweep(self, now: int) -> None:
        """Every 50 ms: time-outs, steps of the clock, and whoever watches."""
        self._next_sweep = now + SWEEP_NS
        real = time.time_ns()
        step = real - time.monotonic_ns() - self._offset
        if abs(step) > 1_000_000:
            self.tally.clock_steps.append(step)
            self._offset += step
        timeout, connect = int(self._drive.timeout_s * 1e9), int(self._drive.connect_timeout_s * 1e9)
        for connection in list(self._open.values()):
            exchange = connection.exchange
            if exchange and real - exchange.sent_ns > timeout:
                exchange.fail("timeout", f"no whole answer within {self._drive.timeout_s:g} s", real)
                self._answered(connection, exchange)
            elif not connection.ready and real - connection.began_ns > connect:
                self._lost(connection, TimeoutError(errno.ETIMEDOUT, "no connection in time"))
        if self.watch:
            self.watch(self)


def _waited() -> float:
    """Seconds that this thread was ready to run but had no core, since its start; 0 where the kernel does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
