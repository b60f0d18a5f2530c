"""The engine's output: secrets taken out, written to the server's log, and read for progress and causes."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llmserve.engine.base import Engine, Failure, Progress

_LONGEST_LINE = 1 << 20
REDACTED = "[redacted]"


class LogPump(threading.Thread):
    """Reads a pipe until its last writer is gone. ``cause`` is the weightiest failure that a line told of."""

    def __init__(
        self, pipe: int, path: Path, engine: Engine, secrets: Sequence[str], on_progress: Callable[[Progress], None]
    ) -> None:
        super().__init__(name="log", daemon=True)
        self._pipe, self._engine, self._on_progress = pipe, engine, on_progress
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._secrets = [secret.encode() for secret in secrets if secret]
        self.cause: Failure | None = None
        self.tail: deque[str] = deque(maxlen=20)

    def run(self) -> None:
        for line, stays in _lines(self._pipe):
            clean = self._redacted(line)
            if stays:
                with contextlib.suppress(OSError):  # a full disk must not stop the engine, whose pipe would fill up
                    os.write(self._log, clean + b"\n")
            self._understand(clean.decode("utf-8", "replace").strip())
        os.close(self._log)

    def _redacted(self, line: bytes) -> bytes:
        for secret in self._secrets:
            line = line.replace(secret, REDACTED.encode())
        return line

    def _understand(self, text: str) -> None:
        if not text:
            return
        self.tail.append(text)
        if progress := self._engine.progress(text):
            self._on_progress(progress)
        failure = self._engine.failure(text)
        if failure and (self.cause is None or failure.rank > self.cause.rank):
            self.cause = failure


def _lines(pipe: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of output and whether each stays on the screen: a progress bar's, ended by a carriage return, do not."""
    rest = b""
    while piece := os.read(pipe, 65536):
        *whole, rest = re.split(rb"([\r\n])", rest + piece)
        yield from ((text, end == b"\n") for text, end in zip(whole[::2], whole[1::2], strict=True))
        if len(rest) > _LONGEST_LINE:
            yield rest, True
            rest = b""
    if rest:
        yield rest, True
