"""A plan in the words of the SGLang that will serve it: flags are renamed, left out with a note, or refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace

from llmserve.engine.base import Environment
from llmserve.engine.sglang import flag_table, vocabulary
from llmserve.engine.sglang.flag_table import Entry
from llmserve.engine.sglang.vocabulary import KNOWN, Vocabulary
from llmserve.errors import UsageError
from llmserve.plan.plan import Flag, Plan

PINNED = "fixed by you"
"""The planner's reason for a flag that the user set."""

_INSTALL = f"Install SGLang {KNOWN}: `llmserve engine install sglang`."
_OWN = tuple(
    Flag(name=name, value=None, reason="every launch has it")
    for name in ("--model-path", "--served-model-name", "--host", "--port", "--config")
)


def adapt(plan: Plan, environment: Environment | None) -> Plan:
    """``plan`` for the SGLang in ``environment`` (None: the one that llmserve would install).

    Raises:
        UsageError: this SGLang has no word for something that the plan cannot do without, or that the user fixed.
    """
    version = environment.version if environment else KNOWN
    taken = vocabulary.accepted(environment)
    notes = _standing(version, asked=taken is not None)
    if taken is None:
        taken = flag_table.as_of(version, vocabulary.known())
    who = f"SGLang {version}"
    _, about_launch = translate(_OWN, taken, who=who)
    flags, about_plan = translate(plan.flags, taken, who=who)
    return replace(plan, flags=flags, notes=(*plan.notes, *notes, *about_launch, *about_plan))


def translate(
    flags: tuple[Flag, ...], accepted: Vocabulary | None, *, who: str = "This SGLang"
) -> tuple[tuple[Flag, ...], tuple[str, ...]]:
    """``flags`` as an engine that takes ``accepted`` (None: unknown, nothing is changed) spells them, and notes.

    Raises:
        UsageError: an essential flag, or one that the user fixed, has no spelling that the engine takes.
    """
    if accepted is None:
        return flags, ()
    spelled = {flag: _spell(flag, accepted) for flag in flags}
    missing = {flag: _entry(flag) for flag, words in spelled.items() if words is None}
    lost = {flag.name for flag, entry in missing.items() if entry.without and flag.reason != PINNED}
    gone = lost | {flag.name for flag in flags if lost and _entry(flag).part_of in lost and flag.reason != PINNED}
    for flag in missing:
        if flag.name not in gone:
            raise _refusal(flag, accepted, who)
    words = (word for flag in flags if flag.name not in gone for word in spelled[flag] or ())
    named = (flag for flag, entry in missing.items() if entry.part_of not in lost)
    return _once(words, who), tuple(f"{who} takes no {_shown(flag)}: {_entry(flag).without}." for flag in named)


def _standing(version: str, *, asked: bool) -> tuple[str, ...]:
    """How this release stands to the one that plans are made for."""
    if version == KNOWN:
        return ()
    older = flag_table.numbers(version) < flag_table.numbers(KNOWN)
    if asked:
        relation = "older than the one llmserve plans for" if older else "newer than this llmserve knows"
        return (f"SGLang {version} is {relation} ({KNOWN}): flags were checked against its own --help.",)
    used = "those that its releases had" if older else f"the flags of {KNOWN}"
    return (f"SGLang {version} could not be asked for its flags; {used} are used.",)


def _entry(flag: Flag) -> Entry:
    return flag_table.table().get(flag.name, Entry())


def _spell(flag: Flag, accepted: Vocabulary) -> tuple[Flag, ...] | None:
    choices = accepted.get(flag.name)
    if choices is not None and (not choices or flag.value is None or flag.value in choices):
        return (flag,)
    return next((other.of(flag) for other in _entry(flag).instead if other.says(flag, accepted)), None)


def _once(flags: Iterable[Flag], who: str) -> tuple[Flag, ...]:
    """Each flag once: two of a plan can have the same spelling elsewhere."""
    found: dict[str, Flag] = {}
    for flag in flags:
        before = found.setdefault(flag.name, flag)
        if before.value != flag.value:
            raise UsageError(
                f"{who} cannot be given both {_shown(before)} ({before.reason}) and {_shown(flag)} ({flag.reason}).",
                hint=_INSTALL,
                code="engine_flag",
            )
    return tuple(found.values())


def _refusal(flag: Flag, accepted: Vocabulary, who: str) -> UsageError:
    if choices := accepted.get(flag.name):
        hint = f"It takes: {', '.join(sorted(choices))}."
    elif near := difflib.get_close_matches(flag.name, accepted, n=1, cutoff=0.8):
        hint = f"Did you mean {near[0]}?"
    else:
        hint = _INSTALL
    need = "was fixed by you" if flag.reason == PINNED else "the plan needs"
    return UsageError(f"{who} takes no {_shown(flag)}, which {need}.", hint=hint, code="engine_flag")


def _shown(flag: Flag) -> str:
    return flag.name if flag.value is None else f"{flag.name} {flag.value}"
