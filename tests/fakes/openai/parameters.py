"""What a request may hold: types, ranges and names, refused in OpenAI's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.fakes.openai.answer import Json, RefusalError

__all__ = ["CHAT", "COMPLETIONS", "EMBEDDINGS", "RESPONSES", "Rule", "check"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``kinds`` are Python types (bool is no int here); ``least`` and ``most`` bound numbers."""

    kinds: tuple[type, ...]
    least: float | None = None
    most: float | None = None
    values: tuple[Any, ...] = ()
    required: bool = False
    nullable: bool = True


_NUMBER, _TEXT, _FLAG, _ANY = (int, float), (str,), (bool,), (str, list, dict, int, float, bool)
_COUNT = (int,)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")

_SAMPLING = {
    "temperature": Rule(kinds=_NUMBER, least=0, most=2),
    "top_p": Rule(kinds=_NUMBER, least=0, most=1),
    "frequency_penalty": Rule(kinds=_NUMBER, least=-2, most=2),
    "presence_penalty": Rule(kinds=_NUMBER, least=-2, most=2),
    "n": Rule(kinds=_COUNT, least=1, most=128),
    "seed": Rule(kinds=_COUNT, least=-(2**63), most=2**63 - 1),
    "stop": Rule(kinds=(str, list)),
    "logit_bias": Rule(kinds=(dict,)),
    "stream": Rule(kinds=_FLAG),
    "stream_options": Rule(kinds=(dict,)),
    "user": Rule(kinds=_TEXT),
}

CHAT = {
    "messages": Rule(kinds=(list,), required=True, nullable=False),
    **_SAMPLING,
    "max_tokens": Rule(kinds=_COUNT, least=1),
    "max_completion_tokens": Rule(kinds=_COUNT, least=1),
    "logprobs": Rule(kinds=_FLAG),
    "top_logprobs": Rule(kinds=_COUNT, least=0, most=20),
    "tools": Rule(kinds=(list,)),
    "tool_choice": Rule(kinds=(str, dict)),
    "parallel_tool_calls": Rule(kinds=_FLAG),
    "response_format": Rule(kinds=(dict,)),
    "reasoning_effort": Rule(kinds=_TEXT, values=_EFFORTS),
    "service_tier": Rule(kinds=_TEXT, values=_TIERS),
    "verbosity": Rule(kinds=_TEXT, values=("low", "medium", "high")),
    "metadata": Rule(kinds=(dict,)),
    "store": Rule(kinds=_FLAG),
    "modalities": Rule(kinds=(list,)),
}

COMPLETIONS = {
    "prompt": Rule(kinds=(str, list), required=True, nullable=False),
    **_SAMPLING,
    "max_tokens": Rule(kinds=_COUNT, least=0),
    "logprobs": Rule(kinds=_COUNT, least=0, most=5),
    "echo": Rule(kinds=_FLAG),
    "suffix": Rule(kinds=_TEXT),
    "best_of": Rule(kinds=_COUNT, least=0, most=20),
}

EMBEDDINGS = {
    "input": Rule(kinds=(str, list), required=True, nullable=False),
    "encoding_format": Rule(kinds=_TEXT, values=("float", "base64")),
    "dimensions": Rule(kinds=_COUNT, least=1),
    "user": Rule(kinds=_TEXT),
}

RESPONSES = {
    "input": Rule(kinds=(str, list), required=True, nullable=False),
    "instructions": Rule(kinds=_TEXT),
    "temperature": _SAMPLING["temperature"],
    "top_p": _SAMPLING["top_p"],
    "top_logprobs": Rule(kinds=_COUNT, least=0, most=20),
    "max_output_tokens": Rule(kinds=_COUNT, least=16),
    "stream": Rule(kinds=_FLAG),
    "store": Rule(kinds=_FLAG),
    "tools": Rule(kinds=(list,)),
    "tool_choice": Rule(kinds=(str, dict)),
    "parallel_tool_calls": Rule(kinds=_FLAG),
    "text": Rule(kinds=(dict,)),
    "reasoning": Rule(kinds=(dict,)),
    "metadata": Rule(kinds=(dict,)),
    "include": Rule(kinds=(list,)),
    "previous_response_id": Rule(kinds=_TEXT),
    "truncation": Rule(kinds=_TEXT, values=("auto", "disabled")),
    "background": Rule(kinds=_FLAG),
}


def check(body: Json, rules: dict[str, Rule]) -> None:
    """Raises: RefusalError with the first parameter that is missing or wrong."""
    if "model" not in body:
        raise RefusalError(400, "you must provide a model parameter", code="missing_required_parameter", param="model")
    for name, rule in ({"model": Rule(kinds=_TEXT, nullable=False)} | rules).items():
        if name in body:
            _value(name, body[name], rule)
        elif rule.required:
            message = f"Missing required parameter: '{name}'."
            raise RefusalError(400, message, code="missing_required_parameter", param=name)
    stop = body.get("stop")
    if isinstance(stop, list) and (len(stop) > 4 or not all(isinstance(item, str) for item in stop)):
        raise RefusalError(400, "Invalid 'stop': at most 4 strings.", code="array_above_max_length", param="stop")
    if body.get("stream_options") and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise RefusalError(400, message, param="stream_options")


def _value(name: str, value: Any, rule: Rule) -> None:
    if value is None and rule.nullable:
        return
    if not isinstance(value, rule.kinds) or (isinstance(value, bool) and bool not in rule.kinds):
        expected = " or ".join(kind.__name__ for kind in rule.kinds)
        message = f"Invalid type for '{name}': expected {expected}, but got {type(value).__name__} instead."
        raise RefusalError(400, message, code="invalid_type", param=name)
    if rule.values and value not in rule.values:
        message = f"Invalid value: '{value}'. Supported values are: {', '.join(map(repr, rule.values))}."
        raise RefusalError(400, message, code="invalid_value", param=name)
    number: float = value if isinstance(value, int | float) else 0.0
    if rule.least is not None and number < rule.least:
        message = f"Invalid '{name}': expected a value >= {rule.least}, but got {value} instead."
        raise RefusalError(400, message, code="below_min_value", param=name)
    if rule.most is not None and number > rule.most:
        message = f"Invalid '{name}': expected a value <= {rule.most}, but got {value} instead."
        raise RefusalError(400, message, code="above_max_value", param=name)
