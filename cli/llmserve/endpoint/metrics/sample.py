"""What an engine said at one moment, and what happened between two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from llmserve.endpoint.metrics.histogram import Histogram

__all__ = ["Sample", "Window"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One reading of ``/metrics``, in names common to all engines. Whatever an engine does not tell is None or absent.

    ``at`` is in seconds of a clock that only rises. ``running`` and ``queued`` count requests; ``kv_usage`` is a share
    of 1. ``counters`` rise from the engine's start:

        requests                              answered to their end
        prompt_tokens, generation_tokens      as the engine counts them; prompt tokens include cached ones
        prompt_work, generation_work          the same as they are worked on, where the other two are counted only when
                                              a request ends (SGLang, llama.cpp): for rates
        cache_hits, cache_queries             prompt tokens found in the prefix cache, and looked for
        decode_seconds, decode_tokens         time spent on generating, and for how many tokens (llama.cpp)
        preemptions                           requests put back for lack of KV cache

    ``histograms`` are in seconds: ``ttft`` (time to first token), ``itl`` (between tokens), ``tpot`` (a request's time
    per output token), ``e2e`` (a whole request), ``queue`` (waiting).
    """

    engine: str
    at: float
    models: tuple[str, ...] = ()
    running: float | None = None
    queued: float | None = None
    kv_usage: float | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    started: float | None = None

    def since(self, before: Sample) -> Window:
        """What happened after ``before``."""
        return Window(before=before, after=self)


@dataclass(frozen=True, kw_only=True)
class Window:
    """The time between two samples of one server."""

    before: Sample
    after: Sample

    @property
    def seconds(self) -> float:
        return self.after.at - self.before.at

    @property
    def reset(self) -> bool:
        """Whether the server began anew within: then what it counted since counts, and what came before is lost."""
        earlier, later = self.before, self.after
        if earlier.engine != later.engine or (earlier.started or 0) < (later.started or 0) - 1:
            return True
        return any(later.counters.get(name, math.inf) < value for name, value in earlier.counters.items()
                   if name not in _ROUNDED)  # fmt: skip

    def increase(self, counter: str) -> float | None:
        """How much a counter of :class:`Sample` rose; None where it is not told."""
        value = self.after.counters.get(counter)
        if value is None:
            return None
        return value if self.reset else max(0.0, value - self.before.counters.get(counter, 0.0))

    def rate(self, counter: str) -> float | None:
        """Its rise per second; None where it is not told, or no time has passed."""
        rise = self.increase(counter)
        return rise / self.seconds if rise is not None and self.seconds > 0 else None

    def histogram(self, name: str) -> Histogram | None:
        """The observations within; None where they are not told."""
        after = self.after.histograms.get(name)
        return after.since(None if self.reset else self.before.histograms.get(name)) if after else None

    @property
    def prompt_rate(self) -> float | None:
        """Prompt tokens per second, cached ones included."""
        return self.rate("prompt_work")

    @property
    def generation_rate(self) -> float | None:
        """Generated tokens per second."""
        return self.rate("generation_work")

    @property
    def cache_hit_rate(self) -> float | None:
        """The share of prompt tokens that the prefix cache had; None where none were asked for or none are counted."""
        return _ratio(self.increase("cache_hits"), self.increase("cache_queries"))

    @property
    def mean_itl(self) -> float | None:
        """Seconds per generated token, on average: from the histogram, else from the time spent."""
        found = self.histogram("itl")
        if found is not None:
            return found.mean
        return _ratio(self.increase("decode_seconds"), self.increase("decode_tokens"))


_ROUNDED = ("generation_work",)
"""Computed from a mean of six digits for llama.cpp: it may fall by a little while the server goes on."""


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
