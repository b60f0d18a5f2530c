"""Which checks a run makes, and what that will cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from llmserve.probe.check import Check
from llmserve.probe.checks import catalogue, needs
from llmserve.probe.settings import Settings

__all__ = ["Cost", "cost", "needed", "select"]


USUAL_PROMPT = 40
"""Tokens of a request on the average of a run, its tools and schemas included."""


@dataclass(frozen=True)
class Cost:
    """The most that a selection sends: requests, tokens that it asks for in answers, and about as many in prompts."""

    requests: int
    tokens: int
    prompt_tokens: int


def select(settings: Settings, checks: Sequence[Check] | None = None) -> tuple[Check, ...]:
    """The checks that ``settings`` want, in the order of the report. ``only`` wins over ``quick``."""
    chosen = catalogue() if checks is None else checks
    if settings.only:
        chosen = [check for check in chosen if _named(check, settings.only)]
    elif settings.quick:
        chosen = [check for check in chosen if check.quick]
    return tuple(check for check in chosen if not _named(check, settings.skip))


def unmatched(patterns: Sequence[str]) -> list[str]:
    """The globs that no check answers to: a misspelt one must not pass for an empty area."""
    return [one for one in patterns if not any(_named(check, (one,)) for check in catalogue())]


def needed(checks: Sequence[Check]) -> tuple[str, ...]:
    """The needs of ``checks``, each after those that it needs itself."""
    found: dict[str, None] = {}
    for check in checks:
        for name in check.needs:
            found |= dict.fromkeys(_with_parents(name))
    return tuple(found)


def cost(checks: Sequence[Check]) -> Cost:
    """What a run of ``checks`` costs at most."""
    found = needs()
    own = sum(found[name].requests for name in needed(checks))
    requests = own + sum(check.requests for check in checks)
    prompts = USUAL_PROMPT * requests + sum(check.prompt for check in checks)
    return Cost(requests, 64 + sum(check.tokens for check in checks), prompts)


def _with_parents(name: str) -> Iterator[str]:
    for parent in needs()[name].needs:
        yield from _with_parents(parent)
    yield name


def _named(check: Check, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (check.id, check.area))
