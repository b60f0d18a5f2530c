"""One server under watch: asked in a thread of its own, so that one that hangs does not hold up the others."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from llmserve.endpoint.endpoint import Endpoint
from llmserve.endpoint.metrics import Sample, Source, Window
from llmserve.errors import LlmserveError

__all__ = ["SPAN", "Target", "Watched"]

SPAN = 60.0
"""Seconds that percentiles and the cache hit rate look back in a live view: shorter ones hold too few requests."""

_CONNECT, _READ = 2.0, 5.0
_POINTS, _DRAWN = 240, 50


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be watched. ``endpoint`` may raise an LlmserveError, as for a server that is not ready yet."""

    name: str
    url: str
    endpoint: Callable[[], Endpoint]
    engine: str = ""
    state: str = ""
    uptime: float | None = None
    gpus: tuple[str, ...] = ()


class Watched:
    """The samples of one target, and the error that stands in place of the last one."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.fault: LlmserveError | None = None
        self.samples: deque[Sample] = deque(maxlen=_POINTS)
        self._source: Source | None = None
        self._asking: threading.Thread | None = None
        self._asked = 0.0

    @property
    def silent(self) -> float:
        """Seconds that the server has not answered a question that is still open."""
        return time.monotonic() - self._asked if self._asking and self._asking.is_alive() else 0.0

    def ask(self) -> threading.Thread:
        """Begin to take a sample, unless one is under way; the thread that does it."""
        if self._asking is None or not self._asking.is_alive():
            self._asked = time.monotonic()
            self._asking = threading.Thread(target=self.sample, daemon=True, name=f"watch {self.target.name}")
            self._asking.start()
        return self._asking

    def sample(self) -> None:
        """Take one now; a failure is kept in ``fault``, and the next try connects anew."""
        try:
            if self._source is None:
                patient = self.target.endpoint()
                self._source = Source(replace(patient, connect_timeout=_CONNECT, read_timeout=_READ))
            self.samples.append(self._source.sample())
            self.fault = None
        except LlmserveError as error:
            self.fault = error
            self.close()

    def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.__exit__()

    @property
    def last(self) -> Window | None:
        """From the sample before the last one to it."""
        return self.samples[-1].since(self.samples[-2]) if len(self.samples) > 1 else None

    @property
    def recent(self) -> Window | None:
        """The last :data:`SPAN` seconds, or as many as have been watched."""
        if len(self.samples) < 2:
            return None
        latest = self.samples[-1]
        first = next(sample for sample in self.samples if latest.at - sample.at <= SPAN)
        return latest.since(first) if first is not latest else self.last

    @property
    def windows(self) -> list[Window]:
        """The steps between the latest samples, the oldest first: what a history shows."""
        samples = list(self.samples)[-_DRAWN:]
        return [after.since(before) for before, after in itertools.pairwise(samples)]
