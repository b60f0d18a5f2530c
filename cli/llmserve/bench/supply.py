"""Where a stage's requests and their times come from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar

from llmserve.bench.drive import Drive
from llmserve.bench.payload import Form
from llmserve.bench.records import Request
from llmserve.bench.settings import Settings, Stage
from llmserve.bench.words import Vocabulary
from llmserve.bench.workload import Supply, Synthetic

__all__ = ["WARM_UP", "Part", "Source", "drive", "source_of", "unmeasured"]

PREPARE_S = 0.03
WARM_UP = -1  # the stage of requests that are not measured
T = TypeVar("T")


class Source(Protocol):
    """Endless requests (a trace's end), other ones for each stage, the same in each process."""

    def stream(self, stage: int) -> Iterator[Request]: ...


@dataclass(frozen=True)
class Part:
    """The share of one process: number ``index`` of ``of``."""

    index: int = 0
    of: int = 1

    def number(self, whole: int) -> int:
        return (whole + self.of - 1 - self.index) // self.of

    def every(self, items: Iterator[T]) -> Iterator[T]:
        return islice(items, self.index, None, self.of)


def source_of(settings: Settings, form: Form, vocabulary: Vocabulary) -> Source:
    """Where requests come from: a file, or words."""
    path = settings.trace or settings.dataset
    if path:
        from llmserve.bench import dataset

        return dataset.FromFile(
            entries=dataset.load(path), form=form, vocabulary=vocabulary, outputs=settings.outputs,
            once=settings.trace is not None, seed=settings.seed, repeatable=settings.repeatable,
        )  # fmt: skip
    decorate = None
    if settings.images:
        from llmserve.bench import extras

        decorate = extras.images(settings.images)
    return Synthetic(
        form=form, vocabulary=vocabulary, inputs=settings.inputs, outputs=settings.outputs, seed=settings.seed,
        repeatable=settings.repeatable, prefix_share=settings.prefix_share, prefixes=settings.prefixes,
        turns=settings.turns, think_s=settings.think_s, decorate=decorate,
    )  # fmt: skip


def drive(settings: Settings, stage: Stage, number: int, source: Source, part: Part) -> Drive:
    """Stage ``number`` as one process has to run it, its first requests built."""
    supply = Supply(part.every(source.stream(number)), None if stage.requests is None else part.number(stage.requests))
    ends = time.monotonic() + PREPARE_S
    while supply.prepare() and time.monotonic() < ends:  # the rest is built while the loop has nothing to do
        pass
    times = _arrivals(settings, stage)
    most = part.number(stage.most_connections)
    return Drive(
        requests=supply, prepare=supply.prepare, stage=number, connections=most,
        users=part.number(stage.concurrency), arrivals=part.every(times) if times else None, until_s=stage.duration_s,
        timeout_s=settings.timeout_s, drain_s=min(settings.timeout_s, 60.0), give_up_after=max(128, 2 * most),
    )  # fmt: skip


def _arrivals(settings: Settings, stage: Stage) -> Iterator[float] | None:
    """Seconds from the stage's start; None where each user waits for an answer."""
    if stage.trace:
        from llmserve.bench import dataset

        return dataset.arrivals(dataset.load(stage.trace), settings.trace_speed)
    if stage.rate is None:
        return None
    from llmserve.bench import schedule

    arrival = schedule.parse_arrival(stage.arrival)
    if stage.ramp_to is not None and stage.duration_s:
        return schedule.ramp(stage.rate, stage.ramp_to, stage.duration_s, arrival, settings.seed)
    return schedule.arrivals(stage.rate, arrival, settings.seed)


def unmeasured(request: Request) -> Request:
    """The same as a warm-up: without later turns, and left out of the figures."""
    return replace(request, measured=False, followup=None)
