"""The event loop: it sends when it should, lets the sockets be read, and interprets when there is time."""

from __future__ import annotations

import errno
import gc
import heapq
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from llmserve.bench.backlog import Backlog
from llmserve.bench.connection import Target
from llmserve.bench.drive import Drive
from llmserve.bench.exchange import Exchange
from llmserve.bench.pool import CONNECTS_AT_ONCE, Pool
from llmserve.bench.reader import Reader
from llmserve.bench.records import Request
from llmserve.bench.table import Table
from llmserve.bench.tally import Tally
from llmserve.bench.timer import Timer

__all__ = ["Loop"]

BATCH = 256  # events between two looks at the schedule
SWEEP_NS = 50_000_000
SPIN_NS = 1_000_000
FULL_BATCH = 32  # where so many were ready at once, nothing is gained by waiting for more
LONGEST_PAUSE_NS, SHORTEST_PAUSE_NS = 1_000_000, 60_000
PAUSES_PER_GAP = 10  # the pause is a small part of the time between two chunks of a stream: it costs no stamp
LONG_ANSWER = 16  # reads of an answer, from which on a pause does not delay the next question for long


class Loop:
    """Runs drives against one target; connections are kept from one drive to the next. Use it in one thread.

    ``watch`` is called every 50 ms; ``stop`` may be set from a signal's handler: the run ends with what it has.
    """

    def __init__(self, target: Target, api: str, table: Table, *, watch: Callable[[Loop], None] | None = None,
                 base_ns: int | None = None) -> None:  # fmt: skip
        self.api, self.watch = api, watch
        self.tally = Tally()
        self.stop = False
        self.base_ns = time.time_ns() if base_ns is None else base_ns
        self._offset = time.time_ns() - time.monotonic_ns()
        self.pool = Pool(target, self.tally, self._over)
        self._timer = Timer()
        self._backlog = Backlog(table, self.tally, self.base_ns, digested=self.pool.digested, followed=self._followed)
        self._reader = Reader(self.pool, self._timer, self._backlog)
        if self._timer.fd is not None:
            self.pool.epoll.register(self._timer.fd, select.EPOLLIN)
        self._later: list[tuple[int, int, Request]] = []  # follow-ups: when (monotonic), a tie-breaker, what
        self._order = count()
        self._failures = 0
        self._next_sweep = 0
        self._swept = self._reads_then = self._overs = 0
        self._pause = 0
        self._hard_end: int | None = None
        self._arrivals: Iterator[float] | None = None
        self._next_due: int | None = None
        self._exhausted = False
        self._begin = 0

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

    def renew(self, table: Table, tally: Tally) -> None:
        """Record into these from now on."""
        self.tally = self.pool.tally = self._backlog.tally = tally
        self._backlog.table = table
        self._reads_then = 0

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
        return done and not (self.pool.active or self.pool.waiting or self._later or self._backlog)

    def _finish(self) -> None:
        """End what still runs, and interpret what is stored."""
        self._hard_end = None
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
        self._later.clear()
        while self._backlog:
            self._backlog.work()
        self.tally.fold()

    def _never_sent(self, now_ns: int) -> None:
        """What still waits for a connection is a row all the same, for it was due."""
        while self.pool.waiting:
            exchange = self.pool.waiting.popleft()
            exchange.fail("interrupted", "the run ended before it could be sent", now_ns)
            self._backlog.add(exchange)

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
            self._dispatch(request, due)
        while self._later and self._later[0][0] <= now:
            due, _, request = heapq.heappop(self._later)
            self._dispatch(request, due)

    def _next_user(self, due: int) -> None:
        """Closed loop: a user is free since ``due`` and asks the next question."""
        request = None if self._exhausted or self.stop else next(self._drive.requests, None)
        if request is None:
            self._exhausted = True
            return
        self._dispatch(request, due)

    def _dispatch(self, request: Request, due: int) -> None:
        exchange = Exchange(request, due + self._offset, self.api)
        if self._arrivals is not None:
            self.tally.lateness.append(time.time_ns() - exchange.intended_ns)
        self.pool.dispatch(exchange)

    def _patience(self, now: int, until: int | None) -> int:
        """Nanoseconds until something is due."""
        wakes = [one for one in (self._next_due, self._later[0][0] if self._later else None, until) if one is not None]
        return max(0, min(wakes) - now) if wakes else SWEEP_NS

    # --- one turn

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
            self._spare(now, min(self._pause, patience // 2) if events else 0)

    def _spare(self, now: int, pause: int) -> None:
        """Interpret for so long as a pause takes, and one slice at the least; then sleep through the rest of it."""
        ends = now + pause
        while self._backlog:
            self._backlog.work()
            if time.monotonic_ns() >= ends and not self._backlog.heavy:
                return
        if pause >= SHORTEST_PAUSE_NS and (rest := ends - time.monotonic_ns()) > 0:
            time.sleep(rest / 1e9)

    def _sleep(self, patience: int) -> float:
        if self._timer.fd is None:
            return max(0, patience - SPIN_NS) // 1_000_000 / 1000  # whole milliseconds, and the rest by looking often
        if patience < SWEEP_NS:
            self._timer.arm(time.monotonic_ns() + patience)
        return SWEEP_NS / 1e9

    def _sweep(self, now: int) -> None:
        """Every 50 ms: time-outs, steps of the clock, what grows, and whoever watches."""
        self._next_sweep = now + SWEEP_NS
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
        self._adapt(now)
        self.tally.fold()
        if self.watch:
            self.watch(self)

    def _adapt(self, now: int) -> None:
        """How long to let chunks gather between two looks at the sockets; their stamps are the kernel's."""
        tally, elapsed = self.tally, now - self._swept
        reads = tally.reads - self._reads_then
        self._swept, self._reads_then = now, tally.reads
        gap = elapsed * self.pool.active // reads if reads > 0 else 0
        useful = tally.unstamped * 100 <= tally.reads and reads > LONG_ANSWER * self._overs
        self._overs = 0
        self._pause = min(gap // PAUSES_PER_GAP, LONGEST_PAUSE_NS) if useful and elapsed < 4 * SWEEP_NS else 0

    # --- what has ended

    def _over(self, exchange: Exchange) -> None:
        failed = exchange.cause or (exchange.head and exchange.head.status >= 300)
        self._failures = self._failures + 1 if failed else 0
        self._overs += 1
        self._backlog.add(exchange)
        if self._failures >= self._drive.give_up_after and not self.tally.gave_up:
            why = exchange.cause or f"status {exchange.head.status if exchange.head else 0}"
            self.tally.gave_up = f"The last {self._failures} requests failed ({why})."
        if self._arrivals is None and exchange.request.followup is None and not self.tally.gave_up:
            self._next_user(exchange.end_ns - self._offset)

    def _followed(self, exchange: Exchange, ok: bool) -> None:
        """A session goes on, or its user begins another one."""
        followup = exchange.request.followup
        over = self.stop or self._hard_end is not None
        turn = followup(exchange.text) if followup and ok and not over else None
        if turn is not None:
            pause, request = turn
            due = max(exchange.end_ns - self._offset, 0) + int(pause * 1e9)
            heapq.heappush(self._later, (due, next(self._order), request))
        elif self._arrivals is None and not self.tally.gave_up:
            self._next_user(time.monotonic_ns())


def _waited() -> float:
    """Seconds that this thread was ready to run but had no core, since its start; 0 where the kernel does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
