"""What every command returns; only ``llmserve.output`` turns it into text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmserve.errors import LlmserveError


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one command.

    ``data`` is the machine's view (JSON types only), ``human`` the person's text, under a ``title`` if there is one.
    ``quiet`` is what ``--quiet`` prints: the one thing a script wants. ``messages`` go to stderr as hints.
    ``coloured`` is ``human`` for terminals that show colours: its author has cleaned what strangers wrote. ``error`` is
    an answer that is a refusal at once: shown like a raised one, beside ``data`` and ``human``.
    """

    data: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    human: str = ""
    quiet: str = ""
    messages: tuple[str, ...] = ()
    exit_code: int = 0
    coloured: str = ""
    error: LlmserveError | None = None
