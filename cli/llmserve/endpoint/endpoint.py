"""The address of an OpenAI-compatible API, whoever runs it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Endpoint", "Price"]

_SECRET = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a million tokens cost, in ``currency``: those of the prompt, and those of the answer."""

    prompt: float
    answer: float
    currency: str = "USD"

    def of(self, prompt: int, answer: int) -> float:
        return (prompt * self.prompt + answer * self.answer) / 1e6


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """``base_url`` ends where the API's paths begin, as the OpenAI SDK has it (``http://127.0.0.1:30000/v1``).

    ``model`` is None until one is chosen from ``/models``. Times are seconds: ``connect_timeout`` to the TCP
    connection, ``read_timeout`` between two pieces of an answer. ``key_origin`` says where the key came from, for
    the sentence of a refusal; ``notes`` what a person should know about how this endpoint was chosen. ``headers`` are
    sent with every request, after llmserve's own; ``price`` is None where nobody named one.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 600.0
    key_origin: str = ""
    notes: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    price: Price | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: the key, and the values of headers that look like one, longest first."""
        values = [value for name, value in self.headers if _SECRET.search(name)]
        values += [value.partition(" ")[2] for value in values if value.startswith(("Bearer ", "Basic "))]
        return tuple(sorted({(self.api_key or "").strip(), *values} - {""}, key=len, reverse=True))

    def redacted(self, text: str) -> str:
        """``text`` without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text
