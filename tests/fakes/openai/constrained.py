"""JSON that satisfies a schema: what constrained decoding gives on a model that knows nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["KINDS", "broken", "object_text", "text"]

KINDS = {"object", "array", "string", "number", "integer", "boolean", "null"}
_WORDS = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove")


def text(schema: dict[str, Any], seed: str) -> str:
    """A JSON document for ``schema``; the same one for the same ``seed``."""
    value = _value(schema, random.Random(seed), schema, 0)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def object_text(seed: str) -> str:
    """A JSON object, no schema given."""
    draw = random.Random(seed)
    return json.dumps({draw.choice(_WORDS): draw.choice(_WORDS)}, separators=(",", ":"))


def broken(schema: Any) -> str | None:
    """What is wrong with the schema itself, or None."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return "schema must be an object"
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in KINDS:
            return f"{kind!r} is not valid under any of the given schemas"
    inner = [*_dicts(schema.get("properties")), *_dicts(schema.get("$defs")), *schema.get("anyOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    return next(filter(None, map(broken, inner)), None)


def _dicts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _value(schema: Any, draw: random.Random, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return _value(_resolve(schema["$ref"], root), draw, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw.choice(schema["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _value(
                schema[choice][-1 if depth > 4 else draw.randrange(len(schema[choice]))], draw, root, depth + 1
            )
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _OF_KIND[kind[0] if isinstance(kind, list) else kind](schema, draw, root, depth)


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    node: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        node = node[step] if step else node
    return node


def _object(schema: dict[str, Any], draw: random.Random, root: dict[str, Any], depth: int) -> Any:
    return {name: _value(inner, draw, root, depth + 1) for name, inner in schema.get("properties", {}).items()}


def _array(schema: dict[str, Any], draw: random.Random, root: dict[str, Any], depth: int) -> Any:
    least = schema.get("minItems", 0)
    count = draw.randint(least, min(schema.get("maxItems", least + 2), least + 2))
    return [_value(schema.get("items", {"type": "string"}), draw, root, depth + 1) for _ in range(count)]


def _string(schema: dict[str, Any], draw: random.Random, root: dict[str, Any], depth: int) -> Any:
    if "pattern" in schema:
        return _matching(schema["pattern"], draw)
    least, most = schema.get("minLength", 0), schema.get("maxLength", 64)
    word = draw.choice(_WORDS)
    while len(word) < least:
        word += draw.choice(_WORDS)
    return word[:most]


def _matching(pattern: str, draw: random.Random) -> str:
    """A string for the few patterns that checks use: classes with counts, literals, anchors."""
    import re

    out = ""
    for members, literal, least in re.findall(r"(?:\[([^\]]+)\]|([^\\^$\[\]{}]))(?:\{(\d+)(?:,\d*)?\})?", pattern):
        first = members.split("-")[0][0] if members else literal
        out += first * int(least or 1)
    return out if re.search(pattern, out) else draw.choice(_WORDS)


def _integer(schema: dict[str, Any], draw: random.Random, root: dict[str, Any], depth: int) -> Any:
    least = int(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
    most = int(schema.get("maximum", schema.get("exclusiveMaximum", least + 100) - 1))
    return draw.randint(least, max(least, most))


def _number(schema: dict[str, Any], draw: random.Random, root: dict[str, Any], depth: int) -> Any:
    return float(_integer(schema, draw, root, depth))


_OF_KIND: dict[str, Callable[[dict[str, Any], random.Random, dict[str, Any], int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _schema, draw, _root, _depth: draw.random() < 0.5,
    "null": lambda *_: None,
}
