"""An answer as checks look at it: status, error envelope, chat fields. Absent and foreign values never raise."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from llmserve.probe.check import Ended, Finding, fail, inconclusive, skipped, unsupported
from llmserve.probe.dig import MISSING, as_dict, as_list, dig, is_count, short
from llmserve.probe.exchange import Exchange
from llmserve.probe.strict_json import lenient, strict

__all__ = ["Answer"]

_GONE = (404, 405, 501)


class Answer:
    """One exchange, read as JSON. What is missing reads as MISSING, an empty dict or an empty list."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @property
    def status(self) -> int | None:
        return self.exchange.status

    @property
    def is_ok(self) -> bool:
        """A 2xx that came whole."""
        return self.status is not None and 200 <= self.status < 300 and not self.exchange.error

    def header(self, name: str) -> str:
        return self.exchange.header(name)

    @cached_property
    def data(self) -> Any:
        """The body as a forgiving client reads it; MISSING if it is no JSON."""
        try:
            return lenient(self.exchange.body)
        except ValueError:
            return MISSING

    @cached_property
    def strict_fault(self) -> str:
        """What a strict JSON parser says about the body; empty if it has nothing to say."""
        try:
            strict(self.exchange.body)
        except ValueError as error:
            return short(str(error))
        return ""

    # --- refusals

    @property
    def is_refused(self) -> bool:
        """A 4xx that blames the request: not a login, a rate limit or a failure of the server."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in (401, 403, 408, 429)

    @property
    def is_absent(self) -> bool:
        """The route is not there."""
        return self.status in _GONE

    @property
    def error(self) -> dict[str, Any]:
        """The object under ``error``, if it is one."""
        return as_dict(dig(self.data, "error"))

    @property
    def has_envelope(self) -> bool:
        """Whether an SDK finds a message: ``{"error": {"message": "…"}}``."""
        return isinstance(self.error.get("message"), str) and bool(self.error["message"])

    @property
    def said(self) -> str:
        """What the server says went wrong, wherever it says it; for quotations."""
        for path in (("error", "message"), ("message",), ("detail",), ("error",)):
            found = dig(self.data, *path)
            if found is not MISSING and found:
                return short(found)
        return short(self.exchange.body[:400].decode("utf-8", "replace"))

    def brief(self) -> str:
        """Status and gist in a few words, for findings."""
        if self.status is None or self.exchange.error:
            seen = f"{self.status}, then " if self.status else ""
            return f"{seen}{self.exchange.error or 'nothing'}: {self.exchange.detail}".removesuffix(": ")
        return f"{self.status} {self.said}" if self.status >= 300 else f"{self.status}"

    def accepted(self, *, refusal: str = "unsupported") -> dict[str, Any]:
        """The JSON object of a 2xx. Anything else ends the check: no answer or a 5xx as ``fail``, a login as
        ``skipped``, a rate limit as ``inconclusive``, and a refusal as ``refusal`` says."""
        if self.is_ok and isinstance(self.data, dict):
            return self.data
        raise Ended(self.unaccepted(refusal=refusal))

    def unaccepted(self, *, refusal: str = "unsupported") -> Finding:
        """The finding that :meth:`accepted` ends a check with."""
        if self.exchange.error in ("timeout", "idle"):
            return inconclusive(f"no answer in the time allowed: {self.brief()}")
        if self.status in (401, 403):
            return skipped(f"not allowed: {self.brief()}")
        if self.status in (408, 429):
            return inconclusive(f"the server asks to come back later: {self.brief()}")
        if self.is_refused and not self.exchange.error:
            if refusal == "unsupported":
                return unsupported(self.brief())
            return fail(self.brief())
        if self.is_ok:
            return fail(f"{self.status} with a body that is no JSON object: {self.said}")
        return fail(self.brief())

    # --- a chat completion, a text completion

    @property
    def choices(self) -> list[Any]:
        return as_list(dig(self.data, "choices"))

    @property
    def choice(self) -> dict[str, Any]:
        """The first choice."""
        return as_dict(dig(self.data, "choices", 0))

    @property
    def message(self) -> dict[str, Any]:
        return as_dict(self.choice.get("message"))

    @property
    def text(self) -> str:
        """The text of the first choice, of chat or completions; thoughts are no text."""
        found = self.message.get("content", self.choice.get("text"))
        return found if isinstance(found, str) else ""

    @property
    def finish(self) -> Any:
        return self.choice.get("finish_reason", MISSING)

    @property
    def tool_calls(self) -> list[Any]:
        return as_list(self.message.get("tool_calls"))

    @property
    def usage(self) -> dict[str, Any]:
        return as_dict(dig(self.data, "usage"))

    def tokens(self, which: str) -> int:
        """``prompt``, ``completion`` or ``total`` tokens; ends the check as inconclusive where there is no count."""
        count = self.usage.get(f"{which}_tokens")
        if not is_count(count):
            raise Ended(inconclusive(f"there is no usage.{which}_tokens to judge by"))
        assert isinstance(count, int)
        return count
