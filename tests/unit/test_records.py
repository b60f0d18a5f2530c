"""Records survive a file, and a file that lies is refused with the place of the lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import pytest

from llmserve.plan.choose import choose
from llmserve.plan.plan import Goal, Plan
from llmserve.records import from_json, to_json
from tests.fakes.machines import gpus, qwen3_8b


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    ratio: float = 0.5
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    pair: tuple[int, int] = (1, 2)
    words: dict[str, str] | None = None


def test_a_plan_survives_a_file() -> None:
    plan = choose(qwen3_8b(), gpus(1, total_gib=80), Goal(), engine="sglang", reason="there is a GPU")
    assert from_json(Plan, json.loads(json.dumps(to_json(plan)))) == plan


def test_keys_of_a_newer_version_are_ignored() -> None:
    assert from_json(Outer, {"name": "x", "new": 1}) == Outer(name="x")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({}, "name is missing"),
        ({"name": 5}, "name must be str"),
        ({"name": "x", "inner": {"size": "big"}}, "inner.size must be int"),
        ({"name": "x", "inner": {"size": True}}, "inner.size must be int"),
        ({"name": "x", "many": [{"size": 1}, {"size": 2, "kind": "c"}]}, r"many\[1\].kind must be one of a, b"),
        ({"name": "x", "pair": [1]}, "pair must have 2 items"),
        ({"name": "x", "words": {"a": 1}}, "words.a must be str"),
        ([], "Outer must be a table"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(data: object, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        from_json(Outer, data)


def test_whole_numbers_stand_for_floats() -> None:
    assert from_json(Outer, {"name": "x", "ratio": 1}).ratio == 1.0
