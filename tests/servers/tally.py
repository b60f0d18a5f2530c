"""What a run of the matrix has seen, for the last lines of its output."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Cases by group; ``missed``: those whose phase was over before it could be hit (they are checked all the same).
    ``phases`` that were hit, by engine; ``starts`` of servers; ``orphans``: processes that outlived their server.
    """

    cases: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    phases: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    starts: int = 0
    orphans: int = 0
    skipped: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, group: str, *, hit: bool = True, failed: bool = False) -> None:
        with self.lock:
            self.cases[group] += 1
            self.missed[group] += not hit
            self.failed[group] += failed

    def note_phase(self, engine: str, phase: str) -> None:
        with self.lock:
            self.phases[engine].add(phase)

    def note_start(self) -> None:
        with self.lock:
            self.starts += 1

    def note_orphans(self, count: int) -> None:
        with self.lock:
            self.orphans += count


TALLY = Tally()
