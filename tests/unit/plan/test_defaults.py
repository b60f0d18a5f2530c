"""Without a name: the best known model that leaves room for its context, on every machine profile."""

from __future__ import annotations

import pytest

from llmserve import hardware, models
from llmserve.models.model import Candidate, Source
from llmserve.plan.defaults import best
from tests.fakes.machines import GIB, gpus, laptop


def one(name: str, gib: float, *, gated: bool = False) -> Candidate:
    sources = tuple(Source(format=form, repo="o/r", size_bytes=int(gib * GIB)) for form in ("safetensors", "gguf"))
    return Candidate(ref=name, name=name, sources=sources, gated=gated)


LIST = [one("huge", 100), one("large", 15), one("locked", 1, gated=True), one("small", 1), one("tiny", 0.4)]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (gpus(1, total_gib=24), "small"),
        (gpus(1, total_gib=80), "large"),
        (gpus(1, total_gib=180), "huge"),
        (laptop(16, 12), "small"),
        (laptop(4, 2), "tiny"),
        (laptop(1, 0.5), None),
    ],
)
def test_the_first_that_leaves_room_and_is_not_gated(machine: hardware.Machine, expected: str | None) -> None:
    found = best(LIST, machine)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize("profile", hardware.names())
def test_every_machine_profile_has_a_default(profile: str) -> None:
    assert best(models.default_candidates(), hardware.load(profile))
