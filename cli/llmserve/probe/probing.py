"""A whole probe of an endpoint: what the command, ``up`` and other tools call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from llmserve.endpoint.endpoint import Endpoint
from llmserve.errors import LlmserveError, NeedsAccessError
from llmserve.probe import saved
from llmserve.probe.answer import Answer
from llmserve.probe.check import Check
from llmserve.probe.context import Context
from llmserve.probe.report.record import report
from llmserve.probe.runner import Outcome, run
from llmserve.probe.session import Session
from llmserve.probe.settings import Settings

__all__ = ["Cut", "probe", "run"]

_UNREACHABLE = ("refused", "unknown_host", "tls", "connect_timeout", "network")


class Cut(KeyboardInterrupt):
    """Interrupted; ``record`` is the report of what was found by then."""

    def __init__(self, record: dict[str, Any]) -> None:
        super().__init__()
        self.record = record


def probe(
    endpoint: Endpoint,
    checks: Sequence[Check],
    settings: Settings,
    *,
    resume: bool = False,
    progress: Callable[[Outcome], None] = lambda _: None,
) -> dict[str, Any]:
    """The record of a run of ``checks`` (see :mod:`llmserve.probe.report.record`).

    Raises:
        LlmserveError: nothing answers there.
        NeedsAccessError: the key is refused.
        Cut: interrupted; what was found is kept for ``resume``.
    """
    session = Session(endpoint, settings)
    reachable(session)
    earlier, known = saved.restored(endpoint, checks) if resume else (None, [])
    session.earlier = saved.exchanges_of(earlier) if earlier else ()
    known = [outcome for outcome in known if not outcome.check.last]
    done = {outcome.check.id: outcome for outcome in known}
    found: dict[str, Outcome] = {}
    began = time.monotonic()

    def told(outcome: Outcome) -> None:
        found[outcome.check.id] = outcome
        progress(outcome)

    def record(complete: bool) -> dict[str, Any]:
        all_ = done | found
        outcomes = [all_[check.id] for check in checks if check.id in all_]
        made = report(session, outcomes, took_s=time.monotonic() - began, complete=complete)
        return saved.with_evidence(made, earlier) if earlier else made

    try:
        run(session, [check for check in checks if check.id not in done], report=told)
    except KeyboardInterrupt:
        cut = record(False)
        saved.keep(cut, endpoint)
        raise Cut(cut) from None
    saved.forget(endpoint)
    return record(True)


def reachable(session: Session) -> None:
    """One request before all others, so that a wrong address or key is one sentence and not a long report."""
    answer = Context(session).get("/models")
    made = answer.exchange
    where = session.endpoint.base_url
    if made.error in _UNREACHABLE:
        hint = "See what runs with `llmserve ps`, or check the address."
        raise LlmserveError(f"{where} cannot be probed: {made.detail}.", hint=hint, code=made.error)
    if made.error == "not_http":
        raise LlmserveError(f"{where} does not speak HTTP: {made.detail}.", hint="Check the address.", code="not_http")
    if answer.status in (401, 403) and not _chat_is_open(session):
        raise _refused(session, answer)


def _chat_is_open(session: Session) -> bool:
    context = Context(session)
    return context.post("/chat/completions", context.chat_body()).status not in (401, 403)


def _refused(session: Session, answer: Answer) -> NeedsAccessError:
    if session.endpoint.api_key:
        origin = session.endpoint.key_origin or "the one given"
        return NeedsAccessError(
            f"The API key ({origin}) is refused with {answer.status}.", hint="Give the right one in OPENAI_API_KEY."
        )
    return NeedsAccessError(
        f"{session.endpoint.base_url} wants an API key ({answer.status}).", hint="Give it in OPENAI_API_KEY."
    )
