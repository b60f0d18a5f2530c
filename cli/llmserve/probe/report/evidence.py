"""Exchanges as JSON: readable, bounded, without secrets."""

from __future__ import annotations

import base64
from typing import Any

from llmserve.endpoint.endpoint import Endpoint
from llmserve.probe.exchange import Exchange

__all__ = ["MAX_BODY", "of_exchange", "readable"]

MAX_BODY = 16 * 1024
MAX_ARRIVALS = 200
_SECRET_HEADERS = ("authorization", "cookie", "set-cookie", "x-api-key", "api-key", "proxy-authorization")


def of_exchange(made: Exchange, endpoint: Endpoint) -> dict[str, Any]:
    """``{request: {method, target, headers, body}, answer: {status, headers, body, …} | null, error, …}``.

    Bodies are text, cut after ``MAX_BODY`` bytes (``*_bytes`` is their whole length); what is no UTF-8 stands there
    with U+FFFD, and as bytes in ``body_base64``. ``arrivals`` are [seconds since the request, bytes by then].
    """
    sent = made.request
    request = {
        "method": sent.method, "target": readable(sent.target, endpoint), "headers": _headers(sent.headers, endpoint),
        "body": readable(sent.body, endpoint), "body_bytes": len(sent.body),
    }  # fmt: skip
    answer = None
    if made.status is not None:
        answer = {
            "status": made.status, "version": made.version, "headers": _headers(made.headers, endpoint),
            "body": readable(made.body, endpoint), "body_bytes": len(made.body),
            "arrivals": [[round(at, 4), known] for at, known in made.arrivals[:MAX_ARRIVALS]],
        } | _odd_bytes(made, endpoint)  # fmt: skip
    return {
        "request": request, "answer": answer, "error": made.error, "detail": readable(made.detail, endpoint),
        "faults": [readable(fault, endpoint) for fault in made.faults], "took_s": round(made.took_s, 4),
        "attempt": made.attempt,
    }  # fmt: skip


def readable(text: str | bytes, endpoint: Endpoint) -> str:
    """Text that any file and terminal can hold: secrets out, half characters mended, no longer than ``MAX_BODY``."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    plain = plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return endpoint.redacted(plain)[:MAX_BODY]


def _odd_bytes(made: Exchange, endpoint: Endpoint) -> dict[str, str]:
    head = made.body[:MAX_BODY]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        if not any(secret.encode() in head for secret in endpoint.secrets):
            return {"body_base64": base64.b64encode(head[:4096]).decode("ascii")}
    return {}


def _headers(headers: tuple[tuple[str, str], ...], endpoint: Endpoint) -> list[list[str]]:
    return [[name, _value(name, value, endpoint)] for name, value in headers]


def _value(name: str, value: str, endpoint: Endpoint) -> str:
    if name.lower() in _SECRET_HEADERS and value:
        scheme, blank, rest = value.partition(" ")
        return f"{scheme}{blank}***" if rest else "***"
    return readable(value, endpoint)
