"""The event loop: it sends when it should, lets the sockets be read, and interprets when there is time."""

from __future__ import annotations

import errno
import gc
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmserve.bench.backlog import Backlog
from llmserve.bench.connection import Target
from llmserve.bench.drive import Drive
from llmserve.bench.exchange import Exchange
from llmserve.bench.pace import Pace
from llmserve.bench.pause import Pause
from llmserve.bench.pool import CONNECTS_AT_ONCE, Pool
from llmserve.bench.reader import Reader
from llmserve.bench.records import Request
from llmserve.bench.table import Table
from llmserve.bench.tally import Tally, working
from llmserve.bench.timer import Timer

__all__ = ["Loop"]

BATCH = 256  # events between two looks at the schedule
SWEEP_NS = 50_000_000
SPIN_NS = 1_000_000
FULL_BATCH = 128  # where so many were ready at once, nothing is gained by waiting for more
SHORTEST_SLEEP_NS = 60_000


class Loop:
    """Runs drives against one target; connections are kept from one drive to the next. Use it in one thread.

    ``watch`` is called every 50 ms; ``stop`` may be set from a signal's handler: the run ends with what it has. ``cut``
    ends a stage that is run once more.
    """

    def __init__(self, target: Target, api: str, table: Table, *, watch: Callable[[Loop], None] | None = None,
                 base_ns: int | None = None) -> None:  # fmt: skip
        self.api, self.watch = api, watch
        self.tally = Tally()
        self.stop = self.cut = False
        self.base_ns = time.time_ns() if base_ns is None else base_ns
        self._offset = time.time_ns() - time.monotonic_ns()
        self.pool = Pool(target, self.tally, self._over)
        self._timer = Timer()
        self._backlog = Backlog(table, self.tally, self.base_ns, digested=self.pool.digested, followed=self._followed)
        self._reader = Reader(self.pool, self._timer, self._backlog)
        if self._timer.fd is not None:
            self.pool.epoll.register(self._timer.fd, select.EPOLLIN)
        self._failures = 0
        self._swept = self._next_sweep = 0
        self._pause = Pause()
        self._hard_end: int | None = None
        self._drive = Drive(requests=iter(()), connections=0)
        self._pace = Pace(self._drive, 0)

    @property
    def table(self) -> Table:
        return self._backlog.table

    @property
    def in_flight(self) -> int:
        return self.pool.active

    @property
    def offset_ns(self) -> int:
        """The realtime clock minus the monotonic one."""
        return self._offset

    def close(self) -> None:
        self.pool.close()
        self._timer.close()

    def abandon(self) -> None:
        """In a forked process: let go of what is the parent's, without a word to the peers."""
        for connection in self.pool.open.values():
            connection.close()
        self.pool.epoll.close()
        self._timer.close()

    def renew(self, table: Table, tally: Tally) -> None:
        """Record into these from now on."""
        self.tally = self.pool.tally = self._backlog.tally = tally
        self._backlog.table = table
        self._pause.renewed()

    @contextmanager
    def aside(self) -> Iterator[Table]:
        """What runs in the block is no part of the measurement: it has a table and a tally of its own."""
        kept = self.table, self.tally
        self.renew(Table(), Tally())
        try:
            yield self.table
        finally:
            self.table.close()
            self.renew(*kept)

    def connect_ahead(self, number: int, timeout_s: float = 5.0) -> None:
        """Open ``number`` connections before the clock starts; those that fail are tried again when needed."""
        ends = time.monotonic_ns() + int(timeout_s * 1e9)
        wanted = number - len(self.pool.open)
        self._drive = Drive(requests=iter(()), connections=number)
        self.pool.limit = number
        while (wanted > 0 or self.pool.connecting) and time.monotonic_ns() < ends and not self.stop:
            while wanted > 0 and self.pool.connecting < CONNECTS_AT_ONCE:
                wanted -= 1
                if not self.pool.connect():
                    return
            self._turn(20_000_000)

    def run(self, drive: Drive) -> None:
        """Run one stage to its end. A cycle collector's pause would be charged to the schedule: it is off meanwhile."""
        self._drive = drive
        self.pool.limit = drive.connections
        self._failures = 0
        collecting = gc.isenabled()
        gc.freeze()
        gc.disable()
        try:
            with working(self.tally):
                self._run(_begin(drive.begin_ns))
        finally:
            gc.unfreeze()
            if collecting:
                gc.enable()

    def _run(self, began: int) -> None:
        drive, self._swept = self._drive, time.monotonic_ns()
        until = None if drive.until_s is None else began + int(drive.until_s * 1e9)
        pace = self._pace = Pace(drive, began)
        if not pace.open_loop:
            for _ in range(drive.users):
                self._next_user(began)
        while True:
            now = time.monotonic_ns()
            if until is not None and now >= until:
                self._due(until)  # what was due before is sent, late or not
                pace.end()
                until, self._hard_end = None, now + int(drive.drain_s * 1e9)
                self._never_sent(now + self._offset, keep=self.pool.connecting)  # those have their connections soon
            if self._ended(now):
                break
            self._due(now)
            self._turn(pace.wait(now, until, SWEEP_NS))
        self._finish()

    def _ended(self, now: int) -> bool:
        if self.stop or self.cut or self.tally.gave_up or (self._hard_end is not None and now >= self._hard_end):
            return True
        return self._pace.done and not (self.pool.active or self.pool.waiting or self._backlog)

    def _finish(self) -> None:
        """End what still runs, and interpret what is stored."""
        self._hard_end = None
        self._pace.end()
        now = time.time_ns()
        self.tally.stopped = self.tally.stopped or self.stop
        for connection in [one for one in self.pool.open.values() if one.exchange]:
            exchange, connection.exchange = connection.exchange, None
            assert exchange
            exchange.fail("interrupted", "the run ended before the answer", now)
            self.pool.active -= 1
            self._backlog.add(exchange)
            self.pool.drop(connection)
        self._never_sent(now)
        while self._backlog:
            self._backlog.work()
        self.tally.fold()

    def _never_sent(self, now_ns: int, *, keep: int = 0) -> None:
        """What still waits for a connection is a row all the same, for it was due. The first ``keep`` wait on."""
        while len(self.pool.waiting) > keep:
            exchange = self.pool.waiting.pop()
            exchange.fail("interrupted", "the run ended before it could be sent", now_ns)
            self._backlog.add(exchange)

    def _due(self, now: int) -> None:
        for request, due in self._pace.due(now):
            self._dispatch(request, due)

    def _next_user(self, due: int) -> None:
        """Closed loop: a user is free since ``due`` and asks the next question."""
        request = None if self.stop else self._pace.another()
        if request is not None:
            self._dispatch(request, due)

    def _dispatch(self, request: Request, due: int) -> None:
        exchange = Exchange(request, due + self._offset, self.api, self._drive.stage)
        if self._pace.open_loop:
            self.tally.lateness.append(time.time_ns() - exchange.intended_ns)
        self.pool.dispatch(exchange)

    def _turn(self, patience: int) -> None:
        """Wait for events, at most ``patience`` nanoseconds, handle them, and use what time is left."""
        timeout = 0.0
        if not self._backlog and patience > 0:
            prepared = patience > SPIN_NS and self._drive.prepare is not None and self._drive.prepare()
            timeout = 0.0 if prepared else self._sleep(min(patience, SWEEP_NS))
        events = self.pool.epoll.poll(timeout, BATCH)
        if events:
            self._reader.handle(events)
        now = time.monotonic_ns()
        if now >= self._next_sweep:
            self._sweep(now)
        if len(events) < FULL_BATCH or self._backlog.heavy:
            self._spare(now, min(self._pause.ns, patience // 2) if events else 0)

    def _spare(self, now: int, pause: int) -> None:
        """Interpret for so long as a pause takes, and one slice at the least; then sleep through the rest of it."""
        ends = now + pause
        while self._backlog:
            self._backlog.work()
            if time.monotonic_ns() >= ends and not self._backlog.heavy:
                return
        if pause >= SHORTEST_SLEEP_NS and (rest := ends - time.monotonic_ns()) > 0:
            time.sleep(rest / 1e9)

    def _sleep(self, patience: int) -> float:
        if self._timer.fd is None:
            return max(0, patience - SPIN_NS) // 1_000_000 / 1000  # whole milliseconds, and the rest by looking often
        if patience < SWEEP_NS:
            self._timer.arm(time.monotonic_ns() + patience)
        return SWEEP_NS / 1e9

    def _sweep(self, now: int) -> None:
        """Every 50 ms: time-outs, steps of the clock, what grows, and whoever watches."""
        if self.pool.active and now - self._swept > 2 * SWEEP_NS:  # an idle loop, too, comes by in time
            self.tally.stalled_s += (now - self._swept - SWEEP_NS) / 1e9
        self._swept, self._next_sweep = now, now + SWEEP_NS
        real = time.time_ns()
        step = real - time.monotonic_ns() - self._offset
        if abs(step) > 1_000_000:
            self.tally.clock_steps.append(step)
            self._offset += step
        timeout, connect = int(self._drive.timeout_s * 1e9), int(self._drive.connect_timeout_s * 1e9)
        for connection in list(self.pool.open.values()):
            exchange = connection.exchange
            if exchange is None:
                if not connection.ready and real - connection.began_ns > connect:
                    self.pool.lost(connection, TimeoutError(errno.ETIMEDOUT, "no connection in time"))
            elif real - exchange.sent_ns > timeout:
                exchange.fail("timeout", f"no whole answer within {self._drive.timeout_s:g} s", real)
                self.pool.answered(connection, exchange)
        self._pause.adapt(now, self.tally, self.pool.active, regular_ns=SWEEP_NS)
        self.tally.fold()
        if self.watch:
            self.watch(self)

    def _over(self, exchange: Exchange) -> None:
        failed = exchange.cause or (exchange.head and exchange.head.status >= 300)
        self._failures = self._failures + 1 if failed else 0
        self._pause.answers += 1
        self._backlog.add(exchange)
        if self._failures >= self._drive.give_up_after and not self.tally.gave_up:
            why = exchange.cause or f"status {exchange.head.status if exchange.head else 0}"
            self.tally.gave_up = f"The last {self._failures} requests failed ({why})."
        if not self._pace.open_loop and exchange.request.followup is None and not self.tally.gave_up:
            self._next_user(exchange.end_ns - self._offset)

    def _followed(self, exchange: Exchange, ok: bool) -> None:
        """A session goes on, or its user begins another one."""
        followup = exchange.request.followup
        over = self.stop or self._hard_end is not None
        turn = followup(exchange.text) if followup and ok and not over else None
        if turn is not None:
            pause, request = turn
            due = max(exchange.end_ns - self._offset, 0) + int(pause * 1e9)
            self._pace.later(due, request)
        elif not self._pace.open_loop and not self.tally.gave_up:
            self._next_user(time.monotonic_ns())


def _begin(at: int | None) -> int:
    """Sleep until then, and return it; without one, or if it has passed, now."""
    now = time.monotonic_ns()
    if at is None or at <= now:
        return now
    time.sleep((at - now) / 1e9)
    return at
