"""Answers that follow a JSON Schema: asked for, and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmserve.errors import LlmserveError, UsageError

__all__ = ["check", "load", "response_format"]


def load(path: Path) -> dict[str, Any]:
    """The schema in a file.

    Raises:
        UsageError: there is none.
    """
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        validator_for(schema).check_schema(schema)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except SchemaError as error:
        raise UsageError(f"{path} is no JSON Schema: {error.message}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON: {error}.") from error
    if not isinstance(schema, dict):
        raise UsageError(f"{path} is no JSON Schema: it is no object.")
    return schema


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """The field of the request that asks for it."""
    name = "".join(char if char.isalnum() and char.isascii() else "_" for char in str(schema.get("title") or "answer"))
    return {"type": "json_schema", "json_schema": {"name": name[:64], "schema": schema, "strict": True}}


def check(text: str, schema: dict[str, Any]) -> Any:
    """The value in ``text``.

    Raises:
        LlmserveError: it is no JSON, or does not follow the schema; the sentence says where.
    """
    from jsonschema import ValidationError
    from jsonschema.validators import validator_for

    try:
        value = json.loads(text)
        validator_for(schema)(schema).validate(value)
    except ValidationError as error:
        message = error.message if len(error.message) <= 300 else f"{error.message[:299]}…"
        raise _unfit(f"The answer does not follow the schema at {error.json_path}: {message}.") from error
    except (ValueError, RecursionError) as error:
        raise _unfit(f"The answer is no JSON: {error}.") from error
    return value


def _unfit(sentence: str) -> LlmserveError:
    hint = "The server may ignore response_format: see its documentation on structured output."
    return LlmserveError(sentence, hint=hint, code="schema")
