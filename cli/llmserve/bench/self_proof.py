"""Whether the client was good enough to believe its figures.

With the kernel's stamps, lag does not enter a time; it does harm where it is so long that several chunks are read at
once (the earlier ones lose their stamps), and where it delays what is sent next. Without them it enters every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llmserve.bench import stats
from llmserve.bench.records import Proof, Spread
from llmserve.bench.tally import Durations, Tally

__all__ = ["prove"]

LAG_P99_MS = 10.0
LAG_SHARE_OF_GAP = 0.75  # a lag of most of the time between chunks loses stamps
USER_LAG_P99_MS = 2.0
LATENESS_P99_MS = 5.0
CPU_SHARE = 0.95
LOST = 0.004  # of the stamps: each spoils two gaps, and one of a hundred makes the 99th percentile
STALL_MS = 100.0
STALLED_SHARE = 0.02
WAITED_SHARE, WAITED_COALESCED = 0.01, 0.005  # a server may write several chunks at once; a client without a core
# reads them at once, too, and then only the last has its stamp


def prove(tallies: Sequence[Tally], *, chunk_gap: Spread | None, tokens: int) -> Proof:
    """The proof of a run out of what each process noted."""
    lags = _merged([tally.lags for tally in tallies])
    lag, late = _milliseconds(lags), _milliseconds(_merged([tally.lateness for tally in tallies]))
    reads = sum(tally.reads for tally in tallies)
    unstamped = sum(tally.unstamped for tally in tallies)
    coalesced = sum(tally.coalesced for tally in tallies) / reads if reads else 0.0
    share = max((tally.cpu_s / tally.wall_s for tally in tallies if tally.wall_s), default=0.0)
    stamps: Literal["kernel", "user", "mixed"] = (
        "user" if reads and unstamped >= 0.9 * reads else "mixed" if unstamped > 0.01 * reads else "kernel"
    )
    waited = max((tally.waited_s / tally.wall_s for tally in tallies if tally.wall_s), default=0.0)
    steps = tuple(round(step / 1e6, 3) for tally in tallies for step in tally.clock_steps)
    gap = chunk_gap.p50 if chunk_gap else None
    behind = lags.share_above(gap / 2) if gap else 0.0
    reasons = [*_lag(lag, gap, coalesced, stamps, behind), *_late(late)]
    if waited > WAITED_SHARE and coalesced > WAITED_COALESCED:
        reasons.append(
            f"other programs had the client's core for {waited:.0%} of the time, and {coalesced:.1%} of its reads held "
            "several chunks"
        )
    stalled = max((tally.stalled_s / tally.wall_s for tally in tallies if tally.wall_s), default=0.0)
    if stalled > STALLED_SHARE:
        reasons.append(f"the client stood still for {stalled:.0%} of the time")
    if share > CPU_SHARE:
        reasons.append(f"the client used {share:.0%} of a core")
    if steps:
        reasons.append(f"the clock was stepped by {', '.join(f'{step:g} ms' for step in steps)}")
    return Proof(
        valid=not reasons, reasons=tuple(reasons), warnings=tuple(_warnings(lag, stamps)), client_lag_ms=lag,
        schedule_lateness_ms=late, coalesced=round(coalesced, 4), cpu_share=round(share, 4),
        cpu_wait_share=round(waited, 4),
        cpu_us_per_token=round(sum(tally.cpu_s for tally in tallies) / tokens * 1e6, 2) if tokens else None,
        stamps=stamps, clock_steps_ms=steps, processes=len(tallies),
        rss_mib=round(sum(tally.rss_mib for tally in tallies), 1),
    )  # fmt: skip


def _merged(parts: Sequence[Durations]) -> Durations:
    whole = Durations()
    for part in parts:
        whole.merge(part)
    return whole


def _milliseconds(whole: Durations) -> Spread | None:
    return stats.counted(whole.weights(), total=whole.total / 1e6, largest=whole.largest / 1e6)


def _lag(lag: Spread | None, gap: float | None, coalesced: float, stamps: str, behind: float) -> list[str]:
    """``gap`` is the median between chunks, ``behind`` the share of reads that were late by more than half of it."""
    if lag is None:
        return []
    said = f"the client was {lag.p99:.1f} ms behind (p99)"
    if stamps != "kernel":
        return [f"{said}, which its times include: the kernel gave no stamps"] if lag.p99 > USER_LAG_P99_MS else []
    if lag.p99 > max(LAG_P99_MS, LAG_SHARE_OF_GAP * (gap or 0)):
        return [said]
    if gap and coalesced > LOST and behind > LOST:
        return [f"{said} at {gap:.1f} ms between chunks, and {coalesced:.1%} of its reads held several"]
    return []


def _late(late: Spread | None) -> list[str]:
    if late is None or late.p99 <= LATENESS_P99_MS:
        return []
    return [f"requests were sent {late.p99:.1f} ms late (p99)"]


def _warnings(lag: Spread | None, stamps: str) -> list[str]:
    said = []
    if stamps != "kernel":
        said.append("The kernel gave no receive stamps: times are those of this process, its own delay included.")
    if lag and lag.max > STALL_MS:
        said.append(f"The client stalled once for {lag.max:.0f} ms; the kernel's stamps do not include it.")
    return said
