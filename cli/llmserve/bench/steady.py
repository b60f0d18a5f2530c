"""The part of a run in which the load was full."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

__all__ = ["steady_window"]

FULL = 0.9  # of the highest level: what counts as full load


def steady_window(sent: Sequence[float], ended: Sequence[float]) -> tuple[float, float] | None:
    """From when the load was first full until it was last so; None if that is no time worth the name.

    ``sent`` and ``ended`` are seconds of the same requests.
    """
    if not sent:
        return None
    typical = sorted(end - start for start, end in zip(sent, ended, strict=True))[len(sent) // 2]
    starts, ends = array("d", sorted(sent)), array("d", sorted(ended))
    enough = FULL * max(level for _, level in _levels(starts, ends))
    first = last = None
    full = False
    for at, level in _levels(starts, ends):
        if full:  # a level lasts until the next change
            last = at
        full = level >= enough
        if full and first is None:
            first = at
    if first is None or last is None or last - first <= 2 * typical:
        return None
    return first, last


def _levels(starts: Sequence[float], ends: Sequence[float]) -> Iterator[tuple[float, int]]:
    """Each change with the number in flight after it; of what changes at once, ends come first."""
    at = level = 0
    for end in ends:
        while at < len(starts) and starts[at] < end:
            level += 1
            yield starts[at], level
            at += 1
        level -= 1
        yield end, level
