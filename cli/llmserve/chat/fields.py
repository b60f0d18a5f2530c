"""Fields of a request that a user may set, and their values as people type them."""

from __future__ import annotations

import difflib
import json
from typing import Any

from llmserve.errors import UsageError

__all__ = ["FIELDS", "parse"]

_NUMBERS = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty")
_WHOLE = ("max_tokens", "max_completion_tokens", "top_k", "seed", "n", "top_logprobs", "min_tokens")
_SWITCHES = ("logprobs", "ignore_eos", "parallel_tool_calls")
_TEXTS = ("reasoning_effort", "user", "service_tier", "verbosity")
_JSON = ("response_format", "tools", "tool_choice", "stop", "logit_bias", "chat_template_kwargs", "extra_body")

FIELDS = (*_NUMBERS, *_WHOLE, *_SWITCHES, *_TEXTS, *_JSON)

_OURS = ("model", "messages", "stream", "stream_options")


def parse(name: str, text: str) -> Any:
    """The value of the field ``name`` that ``text`` means.

    A field that is not known here is taken as well, if its value is JSON: servers have many of their own.

    Raises:
        UsageError: the field is not for the user, or the value is of the wrong kind.
    """
    if name in _OURS:
        raise UsageError(f"{name} is set by the conversation itself.", hint="See /help for /model, /system and others.")
    if name in _WHOLE or name in _NUMBERS:
        return _number(name, text)
    if name in _SWITCHES:
        return _switch(name, text)
    if name in _TEXTS:
        return text
    if name == "response_format" and text in ("json", "text", "json_object"):
        return {"type": "text" if text == "text" else "json_object"}
    if name == "stop" and not text.startswith(("[", '"')):
        return text
    return _json(name, text)


def _number(name: str, text: str) -> int | float:
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError as error:
        what = "a whole number" if name in _WHOLE else "a number"
        raise UsageError(f"{name} wants {what}, not {text!r}.") from error


def _switch(name: str, text: str) -> bool:
    known = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    if text.lower() not in known:
        raise UsageError(f"{name} wants true or false, not {text!r}.")
    return known[text.lower()]


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if name in FIELDS:
            raise UsageError(f"{name} wants JSON: {error}.") from error
        near = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "A field of a server's own is taken if its value is JSON."
        raise UsageError(f"{name} is no known field.", hint=hint) from error
