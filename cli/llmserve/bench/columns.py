"""The figures of each request, gathered in one pass over the rows: what is kept is a few numbers of each."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

from llmserve.bench import slo
from llmserve.bench.records import Goal, Row

__all__ = ["Columns", "gather"]

_SERVICE = ("ttft_ms", "tpot_ms", "e2e_ms")
_COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


class Columns:
    """Of the measured requests. ``values`` are milliseconds by figure; ``sent``, ``ended`` and ``done`` (good ones)
    are seconds of the run.

    ``gaps`` are those of all good answers one after the other, ``sizes`` how many each has. ``shares`` are the tokens
    of the chunk after each gap, kept only once one is not 1.
    """

    def __init__(self, goals: Sequence[Goal], *, open_loop: bool) -> None:
        self._goals, self._open_loop = goals, open_loop
        self.rows = self.measured = self.good = self.chunks = 0
        self.values: dict[str, array[float]] = {
            name: array("d")
            for name in (*_SERVICE, "queue_ms", "connect_ms", "first_answer_ms", "first_token_ms", "latency_ms")
        }
        self.sent, self.ended, self.done = array("d"), array("d"), array("d")
        self.gaps = array("f")
        self.sizes = array("i")
        self.shares: array[float] | None = None
        self.causes: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.lost_tokens = self.interrupted = self.uncounted = 0
        self.kinds: set[str | None] = set()
        self.met = self.met_tokens = 0
        self.asked_inputs = self.inputs_off = self.worst_off = self.short = 0
        self.began = self.end = 0.0

    def add(self, row: Row) -> None:
        self.rows += 1
        if not row.measured:
            return
        self.began = row.intended_s if not self.measured else min(self.began, row.intended_s)
        self.end = max(self.end, row.end_s) if self.measured else row.end_s
        self.measured += 1
        self._put("queue_ms", row.queue_ms)
        self._put("connect_ms", row.connect_ms)
        if row.sent_s is not None:
            self.sent.append(row.sent_s)
            self.ended.append(row.end_s)
        if row.ok:
            self._good(row)
        else:
            self.lost_tokens += row.output_tokens
            self._failed(row)

    def _failed(self, row: Row) -> None:
        if row.cause == "interrupted":
            self.interrupted += 1
        else:
            self.causes[f"status_{row.status}" if row.cause == "status" else row.cause] += 1

    def _good(self, row: Row) -> None:
        self.good += 1
        self.done.append(row.end_s)
        for name in _COUNTS:
            value = getattr(row, name)
            if value is not None:
                self.totals[name] += value
                self.seen[name] += 1
        self.chunks += len(row.chunk_tokens)
        self.uncounted += not row.counted
        for name in _SERVICE:
            self._put(name, getattr(row, name))
        self._moments(row)
        self._gaps(row)
        if self._goals and slo.meets(row, self._goals):
            self.met += 1
            self.met_tokens += row.output_tokens
        self._asked(row)

    def _moments(self, row: Row) -> None:
        self.kinds.add(row.first_kind)
        if row.answer_s is not None and row.sent_s is not None:
            self._put("first_answer_ms", (row.answer_s - row.sent_s) * 1e3)
        if self._open_loop:
            first, last = row.first_s, row.last_s if row.last_s is not None else row.end_s
            self._put("first_token_ms", None if first is None else (first - row.intended_s) * 1e3)
            self._put("latency_ms", (last - row.intended_s) * 1e3)

    def _gaps(self, row: Row) -> None:
        if not row.gaps_ms:
            return
        uneven = min(row.chunk_tokens) != 1.0 or max(row.chunk_tokens) != 1.0
        if uneven and self.shares is None:
            self.shares = array("f", [1.0]) * len(self.gaps)
        if self.shares is not None:
            self.shares.extend(row.chunk_tokens[1:])
        self.gaps.extend(row.gaps_ms)
        self.sizes.append(len(row.gaps_ms))

    def _asked(self, row: Row) -> None:
        if row.asked_input and row.input_tokens is not None:
            self.asked_inputs += 1
            off = abs(row.input_tokens - row.asked_input)
            self.inputs_off += off > 0
            self.worst_off = max(self.worst_off, off)
        self.short += bool(row.asked_output) and row.output_tokens < (row.asked_output or 0)

    def _put(self, name: str, value: float | None) -> None:
        if value is not None:
            self.values[name].append(value)


def gather(rows: Iterable[Row], goals: Sequence[Goal], *, open_loop: bool) -> Columns:
    columns = Columns(goals, open_loop=open_loop)
    for row in rows:
        columns.add(row)
    return columns
