"""What a run of the matrix has seen, for the last lines of its output."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """``lost``: bytes by case, where more was fetched again than a kill can tear; ``torn`` what kills did tear.

    ``excused``: bytes that were fetched again because a case destroyed what was noted of them.
    """

    cases: int = 0
    runs: int = 0
    skipped: int = 0
    failed: int = 0
    torn: int = 0
    excused: int = 0
    lost: dict[str, int] = field(default_factory=dict)


TALLY = Tally()
