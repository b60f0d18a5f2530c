"""The body of an answer, read into the caller's memory, and watched for silence and for dripping."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmserve.models.hub.exchange import Client

_GATHER = 0.25
"""Seconds for which bytes are gathered before they are handed on: what a killed process loses of each connection."""

BROKEN = (http.client.HTTPException, OSError, ValueError)
"""What the standard library raises where a connection or its other end fails."""


class EndedEarlyError(ConnectionError):
    """The body ended before it was whole."""


class Answer:
    """The answer to one request. ``left``: bytes of the body that have not been read; None if it does not say."""

    def __init__(self, client: Client, answer: http.client.HTTPResponse, keep: Callable[[], None]) -> None:
        self._client, self._answer, self._keep = client, answer, keep
        self.status: int = answer.status
        self.headers = answer.headers
        self.left: int | None = answer.length if not answer.chunked else None
        self._raw = answer.fp if not answer.chunked and isinstance(answer.fp, io.BufferedReader) else None
        self._slow_since, self._slow_bytes = time.monotonic(), 0
        self._ended = False
        self._broken: Exception | None = None

    def fill(self, view: memoryview) -> int:
        """Read into ``view`` what comes within a moment, at least one byte; 0 at the end of the body.

        Raises:
            Hiccup: the connection broke, or is too slow.
        """
        if self._broken is not None:
            raise self._client.hiccup(self._broken) from self._broken
        filled, now = 0, time.monotonic()
        until = now + _GATHER
        try:
            while filled < len(view) and now < until:
                self._client.watch()
                count = self._read(view[filled:])
                filled += count
                if not count:
                    break
                now = time.monotonic()
                self._check_speed(count, now)
        except BROKEN as error:
            self._broken = error
            self.drop()
            if not filled:
                raise self._client.hiccup(error) from error
        return filled

    def _read(self, view: memoryview) -> int:
        if self._ended or self.left == 0:
            return 0
        if self._raw is None or self.left is None:
            content = self._answer.read1(len(view))
            count = len(content)
            view[:count] = content
        else:
            count = self._raw.readinto1(view[: self.left])
        if not count and self.left:
            raise EndedEarlyError
        if self.left is not None:
            self.left -= count
        return count

    def _check_speed(self, count: int, now: float) -> None:
        self._slow_bytes += count
        patience = self._client.patience
        if self._client.is_over(now):
            raise ConnectionAbortedError
        if now - self._slow_since < patience.stall:
            return
        if self._slow_bytes < patience.slowest * (now - self._slow_since):
            raise TimeoutError
        self._slow_since, self._slow_bytes = now, 0

    def end(self) -> None:
        """The body is not wanted any further; the connection is used again if it has been read to its end."""
        if self._ended:
            return
        self._ended = True
        if self.left == 0 or (self._raw is None and self._answer.isclosed()):
            will_close = self._answer.will_close
            self._answer.close()
            if not will_close:
                self._keep()
                return
        self._client.drop()

    def drop(self) -> None:
        self._ended = True
        self._client.drop()
