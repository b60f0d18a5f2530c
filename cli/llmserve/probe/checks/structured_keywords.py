"""Which keywords of JSON Schema are held to: each either in the answer, or refused."""

from __future__ import annotations

from typing import Any

from llmserve.probe.check import FEATURE, Finding, in_area
from llmserve.probe.checks.structured import BUDGET, asked, judged
from llmserve.probe.context import Context
from llmserve.probe.schema import closed

check = in_area("structured", needs=("structured",))

_SIDE = {"type": "string", "enum": ["left", "right"]}


def _kept(ctx: Context, **properties: Any) -> Finding:
    schema = closed(properties)
    return judged(asked(ctx, schema), schema)


@check(
    "structured.nested", "Objects within objects", FEATURE, requests=1, tokens=BUDGET,
    expects="each level satisfied", source="spec; Kimi-Vendor-Verifier",
)  # fmt: skip
def nested(ctx: Context) -> Finding:
    return _kept(ctx, shelf=closed({"side": _SIDE, "inner": closed({"full": {"type": "boolean"}})}))


@check(
    "structured.array", "Arrays with minItems and maxItems", FEATURE, requests=1, tokens=BUDGET,
    expects="as many items as allowed, each of the enum, or a refusal", source="xgrammar and outlines differ",
)  # fmt: skip
def array(ctx: Context) -> Finding:
    return _kept(ctx, sides={"type": "array", "items": _SIDE, "minItems": 3, "maxItems": 3})


@check(
    "structured.refs", "$defs and $ref", FEATURE, requests=1, tokens=BUDGET,
    expects="the referenced schema satisfied", source="pydantic writes $defs for every nested model",
)  # fmt: skip
def refs(ctx: Context) -> Finding:
    schema = {**closed({"side": {"$ref": "#/$defs/Side"}}), "$defs": {"Side": _SIDE}}
    return judged(asked(ctx, schema), schema)


@check(
    "structured.any_of", "anyOf", FEATURE, requests=1, tokens=BUDGET,
    expects="one branch satisfied", source="pydantic writes anyOf for every optional field",
)  # fmt: skip
def any_of(ctx: Context) -> Finding:
    return _kept(ctx, side={"anyOf": [_SIDE, {"type": "null"}]})


@check(
    "structured.const", "const, and enums of integers", FEATURE, requests=1, tokens=BUDGET,
    expects="the constant, and a member of the enum", source="spec",
)  # fmt: skip
def const(ctx: Context) -> Finding:
    return _kept(ctx, version={"const": "v1"}, size={"type": "integer", "enum": [17, 34]})


@check(
    "structured.string_bounds", "minLength and maxLength", FEATURE, requests=1, tokens=BUDGET,
    expects="a string within the bounds, or a refusal", source="xgrammar and outlines differ",
)  # fmt: skip
def string_bounds(ctx: Context) -> Finding:
    return _kept(ctx, word={"type": "string", "minLength": 9, "maxLength": 12})


@check(
    "structured.pattern", "pattern", FEATURE, requests=1, tokens=BUDGET,
    expects="a string that matches, or a refusal", source="xgrammar and outlines differ",
)  # fmt: skip
def pattern(ctx: Context) -> Finding:
    return _kept(ctx, code={"type": "string", "pattern": "^[A-C]{4}$"})


@check(
    "structured.number_bounds", "minimum and maximum", FEATURE, requests=1, tokens=BUDGET,
    expects="a number within the bounds, or a refusal", source="xgrammar and outlines differ",
)  # fmt: skip
def number_bounds(ctx: Context) -> Finding:
    return _kept(ctx, count={"type": "integer", "minimum": 401, "maximum": 409})
