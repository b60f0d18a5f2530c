"""A second attempt after a start for which memory was missing: one flag changed, by rules that each engine has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from llmserve.engine.base import Eased, Failure, Stage


@dataclass(frozen=True)
class Rule:
    """For a failure ``code`` in one of ``stages`` (none named: in any), ``change`` gives ``flag`` another value.

    ``change`` takes the value so far (None: the flag is not there) and the failure's sentence; None: it has no better.
    """

    code: str
    flag: str
    change: Callable[[str | None, str], str | None]
    stages: tuple[Stage, ...] = ()


def ease(
    rules: Sequence[Rule], argv: Sequence[str], failure: Failure, stage: str, *, kept: Collection[str]
) -> Eased | None:
    """The change by the first of ``rules`` that has one. Flags that the user set (``kept``) are the user's."""
    theirs = {_plain(flag) for flag in kept}
    for rule in rules:
        if rule.code != failure.code or (rule.stages and stage not in rule.stages) or rule.flag in theirs:
            continue
        before = value_of(argv, rule.flag)
        after = rule.change(before, failure.message)
        if after is not None and after != before:
            return Eased(flag=rule.flag, before=before, after=after, because=failure.message)
    return None


def value_of(argv: Sequence[str], flag: str) -> str | None:
    """The value of a flag that is a word of its own; the last one counts, as for the engines."""
    found = [argv[at + 1] for at in range(len(argv) - 1) if argv[at] == flag]
    return found[-1] if found else None


def applied(argv: Sequence[str], change: Eased) -> tuple[str, ...]:
    """``argv`` with the change made, the flag in its place or at the end."""
    words = list(argv)
    places = [at for at in range(len(words) - 1) if words[at] == change.flag]
    if not places:
        return (*words, change.flag, change.after)
    words[places[-1] + 1] = change.after
    return tuple(words)


def halved(least: int) -> Callable[[str | None, str], str | None]:
    """Half of a whole number, not below ``least``; nothing where there is no number."""

    def change(before: str | None, _: str) -> str | None:
        if before is None or not before.isdigit() or int(before) <= least:
            return None
        return str(max(least, int(before) // 2))

    return change


def _plain(flag: str) -> str:
    return flag.partition("=")[0].replace("_", "-")
