"""Shapes: what is said of answers that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from llmserve.probe.shape import misfit, misfits

USAGE = {"prompt_tokens": "count", "details?": ({"cached_tokens": "count"}, "null")}
ANSWER = {"id": "text", "object": frozenset({"list"}), "usage": USAGE, "data": [{"index": "count"}], "when?": "number"}
GOOD: dict[str, Any] = {"id": "a", "object": "list", "usage": {"prompt_tokens": 3}, "data": [{"index": 0}]}


def test_what_fits_has_no_misfit_whatever_else_it_holds() -> None:
    assert misfits(GOOD | {"extra": object()}, ANSWER) == []
    assert misfit(GOOD | {"usage": {"prompt_tokens": 0, "details": None}}, ANSWER) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": ""}, "id is '', not a string that is not empty"),
        ({"id": None}, "id is null, not a string that is not empty"),
        ({"object": "lists"}, "object is 'lists', not list"),
        ({"object": ["list"]}, "object is array, not list"),
        ({"usage": {}}, "usage.prompt_tokens is absent, not a whole number ≥ 0"),
        ({"usage": {"prompt_tokens": True}}, "usage.prompt_tokens is True, not a whole number ≥ 0"),
        ({"usage": {"prompt_tokens": -1}}, "usage.prompt_tokens is -1, not a whole number ≥ 0"),
        ({"usage": {"prompt_tokens": 1, "details": {"cached_tokens": 0.5}}},
         "usage.details.cached_tokens is 0.5, not a whole number ≥ 0"),
        ({"usage": {"prompt_tokens": 1, "details": 7}}, "usage.details is 7, not an object or null"),
        ({"data": {}}, "data is object, not an array"),
        ({"data": [{"index": 0}, {}]}, "data[1].index is absent, not a whole number ≥ 0"),
        ({"when": float("nan")}, "when is nan, not number"),
    ],
)  # fmt: skip
def test_the_first_misfit_says_where_and_what(change: dict[str, Any], said: str) -> None:
    assert misfit(GOOD | change, ANSWER) == said


def test_no_more_than_eight_are_told() -> None:
    assert len(misfits({"data": [{}] * 1000}, {"data": [{"index": "count"}]})) == 8


def test_the_whole_answer_may_be_of_another_kind() -> None:
    assert misfit([], ANSWER) == "the answer is array, not an object"
