"""What the figures mean, in sentences: one user's speed, how many users, what limits, what to try."""

from __future__ import annotations

from collections.abc import Sequence

from llmserve.bench import search
from llmserve.bench.records import Serving, Spread, StageSummary
from llmserve.bench.search import Level

__all__ = ["ADVICE", "answers", "limit", "ms", "one_user"]

FULL = 0.95  # of the KV cache
RISE = 1.5  # of a time from one user to many: then it is what grows
TOGETHER = 0.2
WAITING = 0.5  # the share of the growth that is waiting for the first token, not writing

ADVICE = {
    "client": "Run the client on a machine of its own, or with fewer users: its own delay is part of these figures.",
    "queue": "Let the server work on more requests at once (more memory for the KV cache, a shorter context, or a "
    "second server), or send it fewer.",
    "prefill": "Shorter or shared inputs (the prefix cache reads those once), chunked prefill, or a second server.",
    "decode": "A quantised or smaller model, more GPUs for each copy (tensor parallel), or a second server.",
    "kv_cache": "More memory for the KV cache (an 8-bit cache, a quantised model, more GPUs), or shorter contexts.",
    "failures": "See the causes of the failures first: figures beside failures flatter the server.",
    "nothing": "Send more: `llmserve bench --sweep` goes on until a bound breaks.",
}
_WORDS = {
    "client": "this client: it was too slow for its figures to be believed",
    "queue": "the queue: requests wait for a free place before the server begins with them",
    "prefill": "prefill: reading the inputs delays the first token",
    "decode": "decode: each token takes longer the more answers are written at once",
    "kv_cache": "the KV cache: it was full",
    "failures": "failures",
    "nothing": "nothing that was reached here",
}


def ms(value: float) -> str:
    """A time for people: ``0.84 ms``, ``41 ms``, ``2.3 s``."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def one_user(level: Level) -> str:
    """How fast it is for somebody who has it alone."""
    figures = level.summary
    if not figures.e2e_ms:
        return "One user alone got no answer."
    if not figures.ttft_ms or not figures.tpot_ms:
        return f"One user alone has an answer after {ms(figures.e2e_ms.p50)} (median)."
    length = round(figures.tokens.output / figures.requests.ok)
    speed = ""
    if figures.tpot_ms.p50 >= TOGETHER * figures.tpot_ms.mean > 0:  # else answers came in one piece, or here at once
        speed = f", then gets {1000 / figures.tpot_ms.p50:,.0f} tokens per second"
    whole = f"an answer of {length} tokens takes {ms(figures.e2e_ms.p50)} (medians)"
    return f"One user alone waits {ms(figures.ttft_ms.p50)} for the first token{speed}; {whole}."


def answers(
    levels: Sequence[Level], *, serving: Serving | None, objectives: str, assumed: bool,
    by_rate: bool = False,
) -> tuple[str, ...]:  # fmt: skip
    """The sentences at the end of a search; ``objectives`` are those of the levels, as they were written."""
    ordered = sorted(levels, key=lambda one: one.load)
    what, why = limit(ordered, serving=serving)
    said = [_caveat(ordered, by_rate=by_rate)]
    said += [one_user(ordered[0])] if ordered[0].load == 1 and not by_rate else []
    said += [_capacity(ordered, objectives, assumed=assumed, by_rate=by_rate), _peak(ordered, by_rate=by_rate)]
    said += [f"What limits: {_WORDS[what]}{f' ({why})' if why else ''}.", f"Try: {ADVICE[what]}"]
    return tuple(filter(None, said))


def _caveat(ordered: Sequence[Level], *, by_rate: bool) -> str:
    """Which of the levels that these sentences speak of are not to be believed."""
    doubted = [one for one in ordered if not one.valid and one.load <= _decisive(ordered).load]
    if not doubted:
        return ""
    where = ", ".join(f"{one.load:.3g}" for one in doubted[:-1])
    last = _load(doubted[-1], by_rate=by_rate)
    proof = doubted[-1].summary.proof
    why = f": {proof.reasons[0]}" if proof and proof.reasons else ""
    return f"Times at {f'{where} and ' if where else ''}{last} are INVALID: the client was too slow there{why}."


def _load(level: Level, *, by_rate: bool) -> str:
    if by_rate:
        return f"{level.load:.3g} requests per second"
    return f"{level.load:.0f} user{'' if level.load == 1 else 's'} at a time"


def _capacity(ordered: Sequence[Level], objectives: str, *, assumed: bool, by_rate: bool) -> str:
    goal = f"Within {objectives}{' (assumed; yours go with --slo)' if assumed else ''}"
    fits = search.most_that_fits(ordered)
    if fits is None:
        return f"{goal} it cannot serve {_load(ordered[0], by_rate=by_rate)}: {_because(ordered[0])}."
    above = next((level for level in ordered if level.load > fits.load), None)
    more = f"; at {above.load:.3g}, {_because(above)}" if above and not above.fits else "; more was not tried"
    least = "at least " if not above or above.fits else ""
    share = f", {fits.throughput:,.0f} tokens per second together" if fits.throughput else ""
    return f"{goal} it serves {least}{_load(fits, by_rate=by_rate)}{share}{more}."


def _because(level: Level) -> str:
    missed = [goal for goal in level.summary.goals if not goal.met]
    if level.why.startswith("missed") and missed:
        reached = missed[0].reached
        return f"{missed[0].text} is missed ({'nothing came' if reached is None else ms(reached)})"
    return level.why


def _peak(ordered: Sequence[Level], *, by_rate: bool) -> str:
    knee, good = search.knee(ordered), search.best(ordered)
    if knee is None or len(ordered) < 2:
        return ""
    highest = max(level.throughput for level in ordered)
    said = f"The most it gave is {highest:,.0f} tokens per second; {_load(knee, by_rate=by_rate)} get"
    said += f" {knee.throughput / highest:.0%} of it"
    beyond = "beyond that there is more waiting than speed" if knee is not ordered[-1] else "it was still growing there"
    best = f" Highest goodput: {good.goodput:.2f} requests per second at {good.load:.3g}." if good else ""
    return f"{said} (the knee: {beyond}).{best}"


def limit(ordered: Sequence[Level], *, serving: Serving | None) -> tuple[str, str]:
    """What keeps the endpoint from serving more (a key of ADVICE), and the figures that say so."""
    level = _decisive(ordered)
    first, last = ordered[0].summary, level.summary
    if last.requests.failed > search.FAILURES * (last.requests.ok + last.requests.failed):
        return "failures", ", ".join(f"{count} × {cause}" for cause, count in last.requests.by_cause.items())
    if serving and (told := _told(level, serving)):
        return told  # the server's own word needs no client to be believed
    if last.proof and not last.proof.valid:
        return "client", last.proof.reasons[0]
    return _grown(first, last)


def _told(level: Level, serving: Serving) -> tuple[str, str] | None:
    """What the server itself said of that level's time."""
    used, queued, running = (
        serving.highest(name, level.began, level.ended) for name in ("kv_usage", "queued", "running")
    )
    if used and used >= FULL:
        return "kv_cache", f"{used:.0%} used"
    if queued:
        return "queue", f"up to {queued:.0f} queued" + ("" if running is None else f", at most {running:.0f} at work")
    return None


def _decisive(ordered: Sequence[Level]) -> Level:
    """The first level that breaks a bound, or the highest."""
    return next((level for level in ordered if not level.fits), ordered[-1])


def _grown(first: StageSummary, last: StageSummary) -> tuple[str, str]:
    """Without the server's word: which time grew from the lowest load to the highest, and how it did."""
    waits, writes = _pair(first.ttft_ms, last.ttft_ms), _pair(first.tpot_ms, last.tpot_ms)
    length = last.tokens.output / last.requests.ok if last.requests.ok else 0
    waited = waits[1] - waits[0]
    written = (writes[1] - writes[0]) * max(length - 1, 0)
    if waits[1] < RISE * waits[0] and writes[1] < RISE * writes[0]:
        return "nothing", ""
    if waited > WAITING * (waited + max(written, 0)):
        whole = last.e2e_ms.p50 if last.e2e_ms else 0.0
        kind = "queue" if waited > 0.5 * (whole - waits[1]) and length > 1 else "prefill"
        return kind, f"the first token after {ms(waits[1])}, alone after {ms(waits[0])}"
    return "decode", f"{ms(writes[1])} per token, alone {ms(writes[0])}"


def _pair(first: Spread | None, last: Spread | None) -> tuple[float, float]:
    return (first.p50 if first else 0.0, last.p50 if last else 0.0)
