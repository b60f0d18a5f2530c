"""How long a transfer tries: what passes by itself, how long to wait for it, and when to give up."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol

CHUNK = 16 * 1024**2
"""Bytes of a large file that are noted, checked and, if they were damaged, fetched again as one."""

_STALL = 10.0
_GAIN = 64 * 1024
"""Bytes that make a failure one of its own: less is what a connection that keeps breaking may bring each time."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Limits of one download; times in seconds.

    ``tries``: failures of one file in a row, without progress between them, that end the download. Pauses between
    them grow from ``unit`` to ``most``. ``stall``: silence that ends a connection. ``longest``: the longest time a
    server may ask to wait. ``slowest``: bytes per second below which a connection is as good as silent.
    """

    tries: int = 10
    unit: float = 0.5
    most: float = 8.0
    stall: float = _STALL
    longest: float = 600.0
    slowest: float = 256.0
    chunk: int = CHUNK

    @classmethod
    def from_environment(cls) -> Patience:
        """``LLMSERVE_RETRY_SECONDS``, ``LLMSERVE_STALL_SECONDS`` or ``HF_HUB_DOWNLOAD_TIMEOUT``, and
        ``LLMSERVE_CHUNK_BYTES``."""
        unit = _number("LLMSERVE_RETRY_SECONDS", cls.unit)
        stall = _number("LLMSERVE_STALL_SECONDS", _number("HF_HUB_DOWNLOAD_TIMEOUT", _STALL))
        chunk = int(_number("LLMSERVE_CHUNK_BYTES", CHUNK))
        return cls(unit=unit, most=16 * unit, stall=max(stall, 0.1), chunk=max(chunk, 4096))


class Headers(Protocol):
    def get(self, name: str, /) -> str | None: ...


class Hiccup(Exception):  # noqa: N818 - it is met by trying again
    """Something that may pass. ``reason`` is a clause for people; ``wait`` what the server asked for, in seconds.

    ``tries`` limits those that hardly pass; ``code`` is that of the error which ends the download in the end.
    """

    def __init__(
        self, reason: str, *, wait: float | None = None, tries: int | None = None, code: str = "hub_interrupted"
    ) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.tries, self.code = reason, wait, tries, code


class Attempts:
    """Failures of one file in a row. ``fruitless``: the last attempt brought nothing at all."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._failures = 0
        self._gained = 0
        self.fruitless = False

    def gained(self, count: int) -> None:
        """Bytes came."""
        self._gained += count

    def pause(self, hiccup: Hiccup) -> float | None:
        """Seconds until the next attempt; None if there should be none."""
        self.fruitless = not self._gained
        if self._gained >= _GAIN:
            self._failures = 0
        self._gained = 0
        self._failures += 1
        if self._failures >= min(self.patience.tries, hiccup.tries or self.patience.tries):
            return None
        planned: float = min(self.patience.most, self.patience.unit * 2 ** (self._failures - 1))
        planned = planned * random.uniform(0.75, 1.0)  # noqa: S311 - many clients should not come back at the same moment
        if hiccup.wait is None:
            return planned
        return max(planned, hiccup.wait) if hiccup.wait <= self.patience.longest else None


def asked_to_wait(headers: Headers) -> float | None:
    """Seconds that ``Retry-After`` names. A date counts from the server's own clock: ours may be wrong."""
    text = headers.get("Retry-After")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        now = parsedate_to_datetime(headers.get("Date") or "")
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _number(variable: str, usual: float) -> float:
    try:
        value = float(os.environ[variable])
    except (KeyError, ValueError):
        return usual
    return value if 0 < value < float("inf") else usual
