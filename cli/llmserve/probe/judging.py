"""Verdicts that many checks share. The error envelope is judged by its own checks alone: here a status is enough."""

from __future__ import annotations

from llmserve.probe.answer import Answer
from llmserve.probe.check import Finding, Verdict, fail, ok

__all__ = ["clean", "refused", "taken"]


def refused(answer: Answer, *, accepted: Verdict = "fail", what: str = "it") -> Finding:
    """For what is wrong: a 4xx passes, ``accepted`` is the verdict of a 2xx, all else fails."""
    if answer.is_refused and not answer.exchange.error:
        return ok(answer.brief())
    if answer.is_ok:
        return Finding(verdict=accepted, saw=f"{answer.status}: {what} is accepted")
    return answer.unaccepted()


def taken(answer: Answer, what: str = "it") -> Finding:
    """For what every client may send: a 2xx passes, a refusal fails."""
    if answer.is_ok:
        return ok(f"{answer.status}")
    found = answer.unaccepted(refusal="fail")
    return fail(f"{what} is refused: {answer.brief()}") if found.verdict == "fail" and answer.is_refused else found


def clean(answer: Answer, what: str = "it") -> Finding:
    """For what a server may take or refuse: both pass, as long as it is an answer and no failure."""
    if answer.is_ok or (answer.is_refused and not answer.exchange.error):
        return ok(f"{what}: {answer.brief()}")
    return answer.unaccepted()
