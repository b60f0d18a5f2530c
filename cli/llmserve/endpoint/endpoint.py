"""The address of an OpenAI-compatible API, whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """``base_url`` ends where the API's paths begin, as the OpenAI SDK has it (``http://127.0.0.1:30000/v1``).

    ``model`` is None until one is chosen from ``/models``. Times are seconds: ``connect_timeout`` to the TCP
    connection, ``read_timeout`` between two pieces of an answer. ``key_origin`` says where the key came from, for
    the sentence of a refusal; ``notes`` what a person should know about how this endpoint was chosen.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 600.0
    key_origin: str = ""
    notes: tuple[str, ...] = ()
