"""An event stream judged byte by byte: what the strictest clients would trip over.

The rules are those of the SDKs where they are stricter than the WHATWG specification: openai-python parses the data of
every dispatched block, also of those that have none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from llmserve.probe.exchange import Exchange

__all__ = ["Event", "Fault", "judge"]

_LINE_END = re.compile(rb"\r\n|\r|\n")
_KNOWN = ("data", "event", "id", "retry")
MAX_EVENTS = 20_000
MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a stream breaks the rules. ``kind``: ``bom``, ``utf8``, ``not_sse`` (a line that is no field),
    ``unknown_field``, ``no_data`` (a block of fields without data), ``empty_data``, ``comment_after_id``,
    ``unterminated``. ``offset`` is in bytes of the body."""

    kind: str
    detail: str
    offset: int


@dataclass(frozen=True, slots=True)
class Event:
    """One block of a stream. ``data`` is None where it has no such field. ``at_s`` is when it was complete."""

    data: str | None
    name: str
    raw: bytes
    offset: int
    at_s: float
    terminated: bool = True


@dataclass
class _Block:
    start: int
    fields: list[tuple[str, str]] = field(default_factory=list)


def judge(exchange: Exchange) -> tuple[tuple[Event, ...], tuple[Fault, ...]]:
    """The events of an answer, and what is wrong with its framing. Blocks of comments alone are no events."""
    body = exchange.body
    events: list[Event] = []
    faults: list[Fault] = []
    start = 0
    if body.startswith(b"\xef\xbb\xbf"):
        faults.append(Fault("bom", "a byte order mark stands before the first event", 0))
        start = 3
    block, id_seen = _Block(start), False
    for line, offset, after in _lines(body, start):
        if len(events) >= MAX_EVENTS or len(faults) >= MAX_FAULTS:
            return tuple(events), tuple(faults)  # hostile or broken beyond interest
        if line:
            _field(line, offset, block, faults)
            continue
        id_seen = _close(block, offset, after, id_seen, exchange, events, faults)
        block = _Block(after)
    if block.fields:
        raw = body[block.start :]
        detail = f"the last block is not ended by a blank line: {raw[:60]!r}"
        data = _data(block)
        if data is not None and data.strip() != "[DONE]":
            faults.append(Fault("unterminated", detail, block.start))
        events.append(_event(block, len(body), exchange, terminated=False))
    return tuple(events), tuple(faults)


def _lines(body: bytes, begin: int) -> Iterator[tuple[bytes, int, int]]:
    """(line, where it begins, where the next begins); what follows the last line end counts if it is not empty."""
    for found in _LINE_END.finditer(body, begin):
        yield body[begin : found.start()], begin, found.end()
        begin = found.end()
    if begin < len(body):
        yield body[begin:], begin, len(body)


def _field(line: bytes, offset: int, block: _Block, faults: list[Fault]) -> None:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        faults.append(Fault("utf8", f"a line is no UTF-8: {line[:60]!r}", offset))
        text = line.decode("utf-8", "replace")
    name, colon, value = text.partition(":")
    if name in _KNOWN or (not name and colon):
        block.fields.append((name, value.removeprefix(" ")))
    elif text.lstrip().startswith(("{", "[", "<")) or not colon:
        faults.append(Fault("not_sse", f"a line is no field of an event: {text[:60]!r}", offset))
    else:
        faults.append(Fault("unknown_field", f"the field {name[:30]!r} is unknown to every client", offset))


def _close(
    block: _Block, offset: int, after: int, id_seen: bool, exchange: Exchange, events: list[Event], faults: list[Fault]
) -> bool:
    """End a block at its blank line; whether an ``id`` has been seen by now."""
    names = {name for name, _ in block.fields}
    if not names:
        return id_seen
    data = _data(block)
    if data is not None:
        if not data:
            faults.append(Fault("empty_data", "an event has empty data", block.start))
    elif names - {""}:
        faults.append(Fault("no_data", f"a block has {', '.join(sorted(names - {''}))} and no data", block.start))
    elif id_seen:
        faults.append(Fault("comment_after_id", "a comment with a blank line, after an id", block.start))
    if names - {""}:
        events.append(_event(block, after, exchange, stop=offset))
    return id_seen or "id" in names


def _event(block: _Block, after: int, exchange: Exchange, *, stop: int = -1, terminated: bool = True) -> Event:
    name = next((value for key, value in reversed(block.fields) if key == "event"), "")
    raw = exchange.body[block.start : stop if stop >= 0 else after]
    return Event(_data(block), name, raw, block.start, _arrival(exchange, after), terminated)


def _data(block: _Block) -> str | None:
    lines = [value for name, value in block.fields if name == "data"]
    return "\n".join(lines) if lines else None


def _arrival(exchange: Exchange, offset: int) -> float:
    place = bisect_left(exchange.arrivals, offset, key=lambda arrival: arrival[1])
    return exchange.arrivals[place][0] if place < len(exchange.arrivals) else exchange.took_s
