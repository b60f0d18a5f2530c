"""What a check is, and what it can find.

A check is a small function in ``probe/checks/<area>.py``::

    check = in_area("chat")

    @check(
        "chat.usage.total", "Usage adds up", BREAKS,
        expects="total_tokens is prompt_tokens + completion_tokens", source="spec CompletionUsage; measured n05c",
    )
    def usage_total(ctx: Context) -> Finding:
        usage = ctx.chat(max_tokens=1).usage
        total = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        return verdict(usage.get("total_tokens") == total, saw=f"usage {usage}")

It may return a finding, raise one (``raise Ended(...)``), or let ``ctx`` do that for it. It never prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from llmserve.probe.context import Context

__all__ = [
    "AREAS", "BREAKS", "COSMETIC", "FEATURE", "Check", "Ended", "Finding", "Severity", "Verdict", "fail", "ignored",
    "in_area", "inconclusive", "not_applicable", "ok", "skipped", "unsupported", "verdict",
]  # fmt: skip

Verdict = Literal["pass", "fail", "ignored", "unsupported", "inconclusive", "skipped", "n/a"]
"""``ignored``: accepted, without the effect asked for. ``unsupported``: refused as a missing feature should be.
``inconclusive``: this model or moment could not show it. ``skipped``: not tried. ``n/a``: does not concern this API."""

Severity = Literal["breaks", "feature", "cosmetic"]
BREAKS: Severity = "breaks"
"""A client raises, or silently works with wrong data."""
FEATURE: Severity = "feature"
"""Something that people rely on does not work."""
COSMETIC: Severity = "cosmetic"
"""Wrong by the document; clients get along."""

AREAS: dict[str, str] = {
    "transport": "Transport & HTTP",
    "auth": "Authentication",
    "models": "Models",
    "errors": "Errors",
    "chat": "Chat: shape of answers",
    "parameters": "Chat: parameters",
    "messages": "Messages & roles",
    "streaming": "Streaming",
    "tools": "Tools",
    "tools-streamed": "Tools, streamed",
    "structured": "Structured output",
    "reasoning": "Reasoning",
    "vision": "Images, audio, files",
    "completions": "Completions",
    "embeddings": "Embeddings",
    "responses": "Responses API",
    "other": "Other endpoints",
    "cors": "Browsers (CORS)",
    "sdk": "Real SDKs",
}
"""The areas of the report, in its order."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found. ``saw`` is one sentence about what came back (any text: outputs clean it).

    ``expected`` replaces the check's own ``expects`` where the finding is more exact; ``rows`` likewise names the rows
    of the measured client table (``templates/probe/clients.json``) that the fault corresponds to.
    """

    verdict: Verdict
    saw: str = ""
    expected: str = ""
    rows: tuple[str, ...] = ()


class Ended(Exception):  # noqa: N818 - a way out of a check, no error
    """Ends a check with a finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.saw)
        self.finding = finding


CheckFunction = Callable[["Context"], Finding]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question to an endpoint.

    ``needs`` are the preconditions of :mod:`llmserve.probe.needs`; where one is not met, its finding is the check's.
    ``requests`` and ``tokens`` are the most that the check itself sends and asks for, beside what it shares with others
    (see ``Context``); ``prompt`` is how many tokens its long prompts have, if it has any. ``--plan`` adds them up.
    ``quick`` checks are those of ``--quick``. ``alone`` checks run while
    nothing else is in flight: their verdict depends on time or on a deterministic answer. ``last`` ones look back on
    the whole run. ``allow`` names the permission (``--allow``) that a check which leaves traces or costs money needs.
    ``rows`` are rows of the measured client table that a failure corresponds to.
    """

    id: str
    area: str
    title: str
    severity: Severity
    expects: str
    source: str
    run: CheckFunction
    needs: tuple[str, ...] = ()
    requests: int = 0
    tokens: int = 0
    prompt: int = 0
    quick: bool = False
    alone: bool = False
    last: bool = False
    allow: str = ""
    rows: tuple[str, ...] = ()


class CheckMaker:
    """Makes the checks of one area; see :func:`in_area`."""

    def __init__(self, area: str, needs: tuple[str, ...]) -> None:
        self.area = area
        self.needs = needs

    def __call__(
        self,
        id: str,  # noqa: A002 - the word that users see
        title: str,
        severity: Severity,
        *,
        expects: str,
        source: str,
        needs: tuple[str, ...] | None = None,
        requests: int = 0,
        tokens: int = 0,
        prompt: int = 0,
        quick: bool = False,
        alone: bool = False,
        last: bool = False,
        allow: str = "",
        rows: tuple[str, ...] = (),
    ) -> Callable[[CheckFunction], Check]:
        """A decorator that turns a function into a :class:`Check`; ``needs`` replaces the area's."""

        def made(function: CheckFunction) -> Check:
            return Check(
                id=id, area=self.area, title=title, severity=severity, expects=expects, source=source, run=function,
                needs=self.needs if needs is None else needs, requests=requests, tokens=tokens, prompt=prompt,
                quick=quick, alone=alone, last=last, allow=allow, rows=rows,
            )  # fmt: skip

        return made


def in_area(area: str, *, needs: tuple[str, ...] = ()) -> CheckMaker:
    """The decorator for the checks of ``area``, which all need what ``needs`` says unless they say otherwise."""
    if area not in AREAS:
        raise ValueError(f"no area {area!r}")
    return CheckMaker(area, needs)


def ok(saw: str = "") -> Finding:
    return Finding(verdict="pass", saw=saw)


def fail(saw: str, *, expected: str = "", rows: tuple[str, ...] = ()) -> Finding:
    return Finding(verdict="fail", saw=saw, expected=expected, rows=rows)


def ignored(saw: str) -> Finding:
    return Finding(verdict="ignored", saw=saw)


def unsupported(saw: str) -> Finding:
    return Finding(verdict="unsupported", saw=saw)


def inconclusive(saw: str) -> Finding:
    return Finding(verdict="inconclusive", saw=saw)


def skipped(saw: str) -> Finding:
    return Finding(verdict="skipped", saw=saw)


def not_applicable(saw: str) -> Finding:
    return Finding(verdict="n/a", saw=saw)


def verdict(holds: bool, *, saw: str, expected: str = "", rows: tuple[str, ...] = ()) -> Finding:
    """``pass`` if it holds, else ``fail``."""
    finding = Finding(verdict="pass" if holds else "fail", saw=saw, expected=expected)
    return finding if holds else replace(finding, rows=rows)
