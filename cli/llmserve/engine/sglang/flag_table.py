"""What ``templates/flags/sglang.toml`` tells about the flags of a plan: which releases have them, and how."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from llmserve import paths
from llmserve.engine.sglang.vocabulary import Vocabulary
from llmserve.plan.plan import Flag
from llmserve.records import from_json


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """Another way to say a flag: ``flags`` in its place, each a name, or a name and ``{value}`` or a value.

    ``value``: of this value alone. ``where``: of releases that have these flags too.
    """

    flags: tuple[str, ...]
    value: str | None = None
    where: tuple[str, ...] = ()

    def says(self, flag: Flag, vocabulary: Vocabulary) -> bool:
        names = (*(word.partition(" ")[0] for word in self.flags), *self.where)
        return self.value in (None, flag.value) and all(name in vocabulary for name in names)

    def of(self, flag: Flag) -> tuple[Flag, ...]:
        pairs = (word.partition(" ") for word in self.flags)
        return tuple(
            Flag(name=name, value=value.replace("{value}", flag.value or "") or None, reason=flag.reason)
            for name, _, value in pairs
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One flag. ``since`` and ``until`` are the first and the last release that have it; without: all that were seen.

    ``without`` is what is otherwise where it is left out (None: plans cannot do without it); it goes when ``part_of``
    goes.
    """

    since: str | None = None
    until: str | None = None
    without: str | None = None
    part_of: str | None = None
    instead: tuple[Spelling, ...] = ()

    def exists_in(self, version: str) -> bool:
        late = self.since is not None and numbers(version) < numbers(self.since)
        gone = self.until is not None and numbers(version) > numbers(self.until)
        return not late and not gone


@cache
def table() -> Mapping[str, Entry]:
    """Every flag of the table by its name.

    Raises:
        ValueError: the file of the package is damaged.
    """
    text = (paths.templates_dir() / "flags" / "sglang.toml").read_text(encoding="utf-8")
    return {name: from_json(Entry, entry, where=name) for name, entry in tomllib.loads(text).items()}


def as_of(version: str, vocabulary: Vocabulary) -> Vocabulary:
    """``vocabulary`` with the flags of the table as ``version`` has them, as far as releases were looked at."""
    others = {name: choices for name, choices in vocabulary.items() if name not in table()}
    there = (name for name, entry in table().items() if entry.exists_in(version))
    return others | {name: vocabulary.get(name, frozenset()) for name in there}


def numbers(version: str) -> tuple[int, ...]:
    """For comparison: 0.5.10.post1 -> (0, 5, 10, 1)."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version.partition("+")[0]))
