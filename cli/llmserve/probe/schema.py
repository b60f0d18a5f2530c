"""JSON Schema, as much of it as the probe's own schemas use: to judge what constrained decoding let through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from llmserve.probe.dig import as_dict, dig, is_int, is_number, kind, short

__all__ = ["closed", "violation"]


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An object of exactly ``properties``: what strict mode demands, and what random weights can satisfy."""
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


def violation(value: Any, schema: dict[str, Any]) -> str:
    """How ``value`` breaks ``schema``, or nothing."""
    return next(_violations(value, schema, schema, "$"), "")


def _violations(value: Any, schema: Any, root: dict[str, Any], at: str) -> Iterator[str]:
    schema = as_dict(schema)
    if "$ref" in schema:
        yield from _violations(value, dig(root, *schema["$ref"].strip("#/").split("/")), root, at)
        return
    if "anyOf" in schema:
        broken = [next(_violations(value, one, root, at), "") for one in schema["anyOf"]]
        if all(broken):
            yield f"{at} fits no branch of anyOf: {broken[0]}"
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"{at} is {short(repr(value), 40)}, which is not in the enum"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{at} is {short(repr(value), 40)}, not the constant"
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{at} is {kind(value)}, not {schema['type']}"
        return
    yield from _bounds(value, schema, at)
    if isinstance(value, dict):
        yield from _members(value, schema, root, at)
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _violations(item, schema.get("items"), root, f"{at}[{place}]")


def _members(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    properties = as_dict(schema.get("properties"))
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}.{name} is absent"
    for name, item in value.items():
        if name in properties:
            yield from _violations(item, properties[name], root, f"{at}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{at}.{short(name, 20)} is not allowed"


def _bounds(value: Any, schema: dict[str, Any], at: str) -> Iterator[str]:
    size: Any = len(value) if isinstance(value, str | list) else value
    kind_ = "Length" if isinstance(value, str) else "Items" if isinstance(value, list) else "imum"
    least: Any = schema.get(f"min{kind_}")
    most: Any = schema.get(f"max{kind_}")
    if is_number(size) and is_number(least) and size < least:
        yield f"{at} is below min{kind_}"
    if is_number(size) and is_number(most) and size > most:
        yield f"{at} is above max{kind_}"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at} does not match the pattern"


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(_is(value, one) for one in wanted)
    if wanted == "integer":
        return is_int(value)
    return kind(value) == wanted or (wanted == "number" and is_number(value))


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON has it: true is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
