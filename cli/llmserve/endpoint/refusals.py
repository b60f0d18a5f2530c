"""Refusals of a server, each as one sentence and the next step.

The first rule that knows a refusal answers it. ``code`` of the error is the stable word for scripts: ``unauthorized``,
``model_not_found``, ``not_found``, ``redirect``, ``context_overflow``, ``no_chat_template``, ``rate_limited``,
``loading``, ``server_error``, ``bad_request``, ``stream_error``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.error_body import ServerError
from llmserve.endpoint.names import some
from llmserve.errors import LlmserveError, NeedsAccessError, NotReadyError

__all__ = ["Refusal", "explain"]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What was refused. ``status`` is None for an error inside a stream that names none; ``served`` lists model ids."""

    endpoint: Endpoint
    error: ServerError
    status: int | None = None
    path: str = ""
    model: str = ""
    location: str = ""
    retry_after: float | None = None
    served: Callable[[], Sequence[str]] = tuple

    @property
    def said(self) -> str:
        """``404: the server's sentence``, or what there is of it, without the key."""
        message = self.endpoint.redacted(self.error.message)
        return ": ".join(filter(None, (str(self.status or ""), message.rstrip(".")))) or "no reason given"

    def matches(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(text) for text in (self.error.message, self.error.type, self.error.code))

    def as_data(self) -> dict[str, Any]:
        known = {
            "status": self.status,
            "type": self.error.type,
            "code": self.error.code,
            "retry_after": self.retry_after,
        }
        return {key: value for key, value in known.items() if value not in (None, "")}


def explain(refusal: Refusal) -> LlmserveError:
    """The error for the user."""
    for rule in _RULES:
        error = rule(refusal)
        if error:
            error.data = refusal.as_data() | error.data
            return error
    return LlmserveError(f"{refusal.endpoint.base_url} broke off with an error ({refusal.said}).", code="stream_error")


_MODEL = re.compile(
    r"\bmodel\b.{0,300}\b(?:not (?:exist|found|served|loaded|available|supported)|doesn't exist|unknown)\b"
    r"|\b(?:unknown|invalid|no such) model\b|model_not_found",
    re.IGNORECASE | re.DOTALL,
)
_OVERFLOW = re.compile(
    r"context.{0,30}(?:length|size|window)|exceed_context|longer than the model|prompt is too long|too many tokens",
    re.IGNORECASE | re.DOTALL,
)
_TEMPLATE = re.compile(
    r"chat_?template.{0,30}not set|default chat template is no longer|no (?:jinja )?chat template"
    r"|(?:provide|have|define|without|missing)(?: an?| the)? chat template|chat template (?:is )?missing",
    re.IGNORECASE | re.DOTALL,
)
_LOADING = re.compile(r"\b(?:loading|starting|warming|not (?:yet )?ready|initiali[sz]ing)\b", re.IGNORECASE)


def _redirect(refusal: Refusal) -> LlmserveError | None:
    if refusal.status is None or not 300 <= refusal.status < 400:
        return None
    return LlmserveError(
        f"{refusal.endpoint.base_url} redirects to {refusal.location or 'nowhere'} ({refusal.status}).",
        hint="Give the address that it leads to with --base-url.", code="redirect",
    )  # fmt: skip


def _access(refusal: Refusal) -> LlmserveError | None:
    if refusal.status not in (401, 403):
        return None
    url, endpoint = refusal.endpoint.base_url, refusal.endpoint
    if not endpoint.api_key:
        message, hint = f"{url} wants an API key ({refusal.said}).", "Set OPENAI_API_KEY, or pass --api-key KEY."
    else:
        message = f"{url} refused the API key from {endpoint.key_origin or 'this request'} ({refusal.said})."
        hint = "Set OPENAI_API_KEY to the right one, or pass --api-key KEY."
    return NeedsAccessError(message, hint=hint, code="unauthorized")


def _template(refusal: Refusal) -> LlmserveError | None:
    if not refusal.matches(_TEMPLATE):
        return None
    return LlmserveError(
        f"{refusal.model or 'The model'} has no chat template: it continues text and cannot hold a conversation.",
        hint="Serve an instruction-tuned model, or start the server with a chat template.", code="no_chat_template",
    )  # fmt: skip


def _overflow(refusal: Refusal) -> LlmserveError | None:
    if refusal.status in (404, 429) or not refusal.matches(_OVERFLOW):
        return None
    return LlmserveError(
        f"The conversation does not fit into the model's context ({refusal.said}).",
        hint="Ask something shorter, begin anew, or serve the model with a longer context.", code="context_overflow",
    )  # fmt: skip


def _model(refusal: Refusal) -> LlmserveError | None:
    if refusal.status not in (None, 400, 404, 422) or not refusal.model or not refusal.matches(_MODEL):
        return None
    served = some(refusal.served())
    return LlmserveError(
        f"{refusal.endpoint.base_url} does not serve the model {refusal.model!r} ({refusal.said}).",
        hint=f"It serves: {served}. Choose with --model." if served else "Choose another with --model.",
        code="model_not_found",
    )


def _route(refusal: Refusal) -> LlmserveError | None:
    if refusal.status not in (404, 405):
        return None
    base = refusal.endpoint.base_url
    hint = "Check the base URL: it is the address that ends before /chat/completions, for most servers in /v1."
    return LlmserveError(
        f"There is no {refusal.path or 'such route'} at {base} ({refusal.said}).",
        hint=hint if base.endswith("/v1") else f"Did you mean --base-url {base}/v1?", code="not_found",
    )  # fmt: skip


def _limit(refusal: Refusal) -> LlmserveError | None:
    if refusal.status != 429:
        return None
    wait = refusal.retry_after
    return LlmserveError(
        f"{refusal.endpoint.base_url} takes no more requests for now ({refusal.said}).",
        hint=f"Try again in {wait:.0f} s." if wait else "Try again later.", code="rate_limited",
    )  # fmt: skip


def _loading(refusal: Refusal) -> LlmserveError | None:
    if refusal.status != 503 or not refusal.matches(_LOADING):
        return None
    return NotReadyError(
        f"{refusal.endpoint.base_url} is not ready yet ({refusal.said}).", hint="Try again in a moment.", code="loading"
    )


def _server(refusal: Refusal) -> LlmserveError | None:
    if refusal.status is None or refusal.status < 500:
        return None
    hint = "Try again later." if refusal.status in (502, 503, 504) else "The server's log says why."
    return LlmserveError(f"{refusal.endpoint.base_url} failed ({refusal.said}).", hint=hint, code="server_error")


def _request(refusal: Refusal) -> LlmserveError | None:
    if refusal.status is None:
        return None
    return LlmserveError(f"{refusal.endpoint.base_url} rejected the request ({refusal.said}).", code="bad_request")


_RULES = (_redirect, _access, _template, _overflow, _model, _route, _limit, _loading, _server, _request)
