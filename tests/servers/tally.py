"""What a run of the matrix has seen, for the last lines of its output."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Cases by group; ``missed``: those whose phase was over before it could be hit (they are checked all the same)."""

    cases: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, group: str, *, hit: bool = True, failed: bool = False) -> None:
        with self.lock:
            self.cases[group] += 1
            self.missed[group] += not hit
            self.failed[group] += failed


TALLY = Tally()
