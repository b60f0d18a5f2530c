"""The engine's output: secrets taken out, written to the server's log, and read for progress and causes."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llmserve.engine.base import Engine, Failure, Progress
from llmserve.engine.logfile import LogFile
from llmserve.engine.redact import Redactor

_LONGEST_LINE = 1 << 20
_START_TEXT = 1 << 20
"""Bytes of a start that are kept in memory until it is ready, to read the engine's figures from."""
_LONGEST_KEPT = 2000
"""Characters of a line that are kept in memory for error messages."""
TAIL = 20


class LogPump(threading.Thread):
    """Reads a pipe until its last writer is gone, and closes it.

    ``cause`` is the weightiest failure that a line told of, ``lines`` how many there were, ``tail`` the last ones.
    """

    def __init__(
        self, pipe: int, path: Path, engine: Engine, secrets: Sequence[str], on_progress: Callable[[Progress], None]
    ) -> None:
        super().__init__(name="log", daemon=True)
        self._pipe, self._engine, self._on_progress = pipe, engine, on_progress
        self._log, self._redactor = LogFile(path), Redactor(secrets)
        self.cause: Failure | None = None
        self.lines = 0
        self._start: list[bytes] = []
        self._start_size = 0
        self.tail: deque[str] = deque(maxlen=TAIL)

    def run(self) -> None:
        for line, stays in _lines(self._clean()):
            if stays:
                self._log.write(line)
                self._keep(line)
            self.lines += 1
            self._understand(line.decode("utf-8", "replace").strip())
        self._log.close()
        os.close(self._pipe)

    def start_text(self) -> str:
        """What the engine printed so far; it is kept no longer."""
        text = b"\n".join(self._start).decode("utf-8", "replace")
        self._start_size = _START_TEXT
        self._start.clear()
        return text

    def _keep(self, line: bytes) -> None:
        if self._start_size < _START_TEXT:
            self._start_size += len(line)
            self._start.append(line)

    def _clean(self) -> Iterator[bytes]:
        while piece := os.read(self._pipe, 65536):
            yield self._redactor.feed(piece)
        yield self._redactor.finish()

    def _understand(self, text: str) -> None:
        if not text:
            return
        self.tail.append(text[:_LONGEST_KEPT])
        if progress := self._engine.progress(text):
            self._on_progress(progress)
        failure = self._engine.failure(text)
        if failure and (self.cause is None or failure.rank > self.cause.rank):
            self.cause = failure


def _lines(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines of output and whether each stays on the screen: a progress bar's, ended by a carriage return, do not.

    A line that is too long is cut at the same place whatever the pieces were.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = re.split(rb"([\r\n])", rest + piece)
        for text, end in zip(whole[::2], whole[1::2], strict=True):
            *parts, final = _cut(text)
            yield from ((part, True) for part in parts)
            yield final, end == b"\n"
        *parts, rest = _cut(rest)
        yield from ((part, True) for part in parts)
    if rest:
        yield rest, True


def _cut(text: bytes) -> list[bytes]:
    return [text[at : at + _LONGEST_LINE] for at in range(0, len(text), _LONGEST_LINE)] or [b""]
