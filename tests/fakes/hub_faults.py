"""What can go wrong with a hub's answers, on demand."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Kind = Literal[
    "cut", "truncate", "reset", "hang", "status", "wrong_length", "corrupt", "loop", "expired", "no_range",
    "wrong_range", "gzip", "slow",
]  # fmt: skip

BODY: tuple[Kind, ...] = ("cut", "truncate", "reset", "hang", "wrong_length", "corrupt", "wrong_range", "gzip", "slow")
"""Faults of file bodies; the others replace whole answers."""

ALWAYS = 1_000_000_000


@dataclass
class Fault:
    """What goes wrong with ``times`` of the answers to paths that fit ``where`` (a glob, without the first slash).

    ============  ========================================================================================
    cut           the connection ends after ``after`` bytes of the body
    reset         the same, with a TCP reset
    hang          the same, and the connection stays open
    truncate      the body ends at byte ``after`` of the *file*, whatever was asked for
    wrong_length  ``Content-Length`` says ``after`` bytes less, and so many come
    corrupt       byte ``after`` of the file is another one
    wrong_range   a range begins ``after`` bytes too early, and says so
    no_range      ``Range`` is ignored
    gzip          the body is compressed although nobody asked for that
    status        ``status``, with ``Retry-After: retry_after`` where that is set (``retry_date``: as a date)
    loop          a redirect to itself
    expired       403, as a signed address answers after its time
    slow          a ``pause`` before every piece, in ``times`` bodies
    ============  ========================================================================================

    Besides, a ``pause`` in seconds stands between pieces of ``piece`` bytes of every fitting body: a slow server, or
    with one byte per piece a slow-loris.
    """

    after: int = 0
    times: int = 0
    pause: float = 0.0
    kind: Kind = "cut"
    where: str = "*"
    status: int = 500
    retry_after: float | None = None
    retry_date: bool = False
    piece: int = 64 * 1024

    def fits(self, path: str) -> bool:
        return fnmatchcase(path, self.where)


class Faults:
    """The faults of a hub; each is taken as often as it says, by whichever thread comes first."""

    def __init__(self) -> None:
        self.all: list[Fault] = []
        self._lock = threading.Lock()

    def take(self, path: str, *kinds: Kind, first: int = 0, length: int = 1) -> Fault | None:
        """The next fault of these kinds for ``length`` bytes from ``first`` on of what ``path`` names."""
        with self._lock:
            for fault in self.all:
                if fault.times > 0 and fault.kind in kinds and fault.fits(path) and _reaches(fault, first, length):
                    fault.times -= 1
                    return fault
        return None

    def pacing(self, path: str) -> Fault | None:
        return next((one for one in self.all if one.pause and one.kind != "slow" and one.fits(path)), None)


def _reaches(fault: Fault, first: int, length: int) -> bool:
    """Whether so many bytes of a file come as far as the fault; the other kinds know no place."""
    if fault.kind in ("truncate", "corrupt"):
        return first <= fault.after < first + length
    if fault.kind in ("cut", "reset", "hang", "wrong_length"):
        return length > fault.after
    return fault.after <= first if fault.kind == "wrong_range" else True
