"""The judge of constrained decoding agrees with jsonschema wherever the probe's schemas go."""

from __future__ import annotations

from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserve.probe.schema import closed, violation

SIDE = {"type": "string", "enum": ["left", "right"]}
SCHEMA: dict[str, Any] = {
    **closed({
        "side": {"$ref": "#/$defs/Side"}, "again": {"anyOf": [{"$ref": "#/$defs/Side"}, {"type": "null"}]},
        "on": {"type": "boolean"}, "size": {"type": "integer", "enum": [1, 17]}, "version": {"const": "v1"},
        "word": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-c]+$"},
        "count": {"type": "integer", "minimum": 3, "maximum": 5},
        "sides": {"type": "array", "items": SIDE, "minItems": 1, "maxItems": 2},
        "inner": closed({"full": {"type": "boolean"}}),
    }),
    "$defs": {"Side": SIDE},
}  # fmt: skip
GOOD: dict[str, Any] = {
    "side": "left", "again": None, "on": True, "size": 17, "version": "v1", "word": "abc", "count": 4,
    "sides": ["right"], "inner": {"full": False},
}  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(0, 20), st.sampled_from([0.5, "left", "v1", "abc", "a", "abcde", "abd"]),
    st.lists(st.sampled_from(["left", "right", "up"]), max_size=3),
    st.dictionaries(st.sampled_from(["full", "x"]), st.booleans()),
)  # fmt: skip


def test_what_satisfies_it_violates_nothing() -> None:
    assert violation(GOOD, SCHEMA) == ""


@settings(max_examples=300, deadline=None, derandomize=True)
@given(key=st.sampled_from([*GOOD, "extra"]), value=VALUES)
def test_it_finds_what_jsonschema_finds(key: str, value: Any) -> None:
    changed = GOOD | {key: value}
    assert (violation(changed, SCHEMA) == "") is jsonschema.Draft202012Validator(SCHEMA).is_valid(changed)


def test_a_missing_key_is_a_violation() -> None:
    for key in GOOD:
        assert violation({name: value for name, value in GOOD.items() if name != key}, SCHEMA) == f"$.{key} is absent"
