"""Wrong requests: what must come back, and what it means if something else does."""

from __future__ import annotations

from llmserve.probe.answer import Answer
from llmserve.probe.check import Finding, fail, inconclusive, ok, skipped

__all__ = ["must_refuse", "never_500", "optional"]


def must_refuse(answer: Answer, what: str, *, statuses: tuple[int, ...] = (400, 404, 413, 422)) -> Finding:
    """``pass`` for a 4xx of ``statuses`` in the envelope; anything else is a failure."""
    if answer.status in (401, 403, 408, 429):
        return _other(answer)
    if answer.status in statuses and answer.has_envelope:
        return ok(answer.brief())
    if answer.status in statuses:
        return fail(f"{what} is refused outside the error envelope: {answer.brief()}")
    if answer.is_ok:
        return fail(f"{what} is accepted with {answer.status}")
    return fail(f"{what} is answered with {answer.brief()}")


def optional(answer: Answer) -> Finding | None:
    """For features that not everybody has: None for a 2xx, else the finding (a clean refusal is ``unsupported``)."""
    return None if answer.is_ok and isinstance(answer.data, dict) else answer.unaccepted()


def never_500(answer: Answer, what: str) -> Finding:
    """Either answer will do, but no crash: a 2xx, or a 4xx in the envelope."""
    if answer.is_ok:
        return ok(f"{what}: {answer.status}")
    if answer.status in (401, 403, 408, 429):
        return _other(answer)
    if answer.is_refused and answer.has_envelope and not answer.exchange.error:
        return ok(f"{what} is refused: {answer.brief()}")
    return fail(f"{what}: {answer.brief()}")


def _other(answer: Answer) -> Finding:
    return skipped(answer.brief()) if answer.status in (401, 403) else inconclusive(answer.brief())
