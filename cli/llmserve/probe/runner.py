"""Runs checks: in order or several at once, each to a finding, whatever the server or the check itself does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from llmserve.probe.check import Check, Ended, Finding, inconclusive, skipped
from llmserve.probe.checks import needs
from llmserve.probe.context import Context
from llmserve.probe.exchange import Exchange
from llmserve.probe.selection import needed
from llmserve.probe.session import Session

__all__ = ["Outcome", "judge", "run", "unmet"]


@dataclass(frozen=True)
class Outcome:
    """A check, its finding, the exchanges that it looked at, and the seconds it took."""

    check: Check
    finding: Finding
    exchanges: tuple[Exchange, ...] = ()
    took_s: float = 0.0


def run(
    session: Session, checks: Sequence[Check], *, report: Callable[[Outcome], None] = lambda _: None
) -> list[Outcome]:
    """The outcomes of ``checks``, in their order; ``report`` is told each as it is there, from this thread.

    What is needed is found out first, one by one; then come the checks that may share the server, then those that want
    it alone, at last those that look back.
    """
    for name in needed(checks):
        unmet(session, name)
    found: dict[str, Outcome] = {}
    for outcome in _outcomes(session, checks):
        found[outcome.check.id] = outcome
        report(outcome)
    return [found[check.id] for check in checks]


def _outcomes(session: Session, checks: Sequence[Check]) -> Iterator[Outcome]:
    together = [check for check in checks if not check.alone and not check.last]
    if session.settings.concurrency > 1:
        yield from _at_once(session, together)
    else:
        yield from (judge(session, check) for check in together)
    for check in checks:
        if check.alone and not check.last:
            yield judge(session, check)
    for check in checks:
        if check.last:
            yield judge(session, check)


def _at_once(session: Session, checks: Sequence[Check]) -> Iterator[Outcome]:
    with ThreadPoolExecutor(max_workers=session.settings.concurrency) as pool:
        futures = [pool.submit(judge, session, check) for check in checks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            session.abort()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def judge(session: Session, check: Check) -> Outcome:
    """One check to its finding. It never raises for what a server sends or a check gets wrong."""
    context = Context(session)
    began = time.monotonic()
    try:
        finding = _before(session, check) or check.run(context)
    except Ended as ended:
        finding = ended.finding
    except Exception as error:
        finding = inconclusive(f"internal error: {type(error).__name__}: {error}")
    return Outcome(check, finding, tuple(context.touched), time.monotonic() - began)


def _before(session: Session, check: Check) -> Finding | None:
    if check.allow and check.allow not in session.settings.allow:
        return skipped(f"it is done only with --allow {check.allow}")
    return next((finding for name in check.needs if (finding := unmet(session, name))), None)


def unmet(session: Session, name: str) -> Finding | None:
    """None where the need ``name`` is met, found out once per run; else what it found."""
    need = needs()[name]
    for parent in need.needs:
        if finding := unmet(session, parent):
            return finding

    def find() -> Finding | None:
        try:
            return need.find(Context(session))
        except Ended:
            raise
        except Exception as error:
            return inconclusive(f"internal error: {type(error).__name__}: {error}")

    return session.need(name, find)
