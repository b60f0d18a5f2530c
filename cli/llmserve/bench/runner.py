"""A run from the settings to the figures: learn how the endpoint wants to be asked, warm up, load, sum up."""

from __future__ import annotations

import copy
import resource
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from llmserve import __version__
from llmserve.bench import lookup, supply
from llmserve.bench.drive import Drive
from llmserve.bench.learn import learn
from llmserve.bench.loop import Loop
from llmserve.bench.payload import Form
from llmserve.bench.settings import Settings, Stage
from llmserve.bench.table import Table
from llmserve.bench.tally import Tally
from llmserve.bench.words import Vocabulary
from llmserve.endpoint.endpoint import Endpoint
from llmserve.errors import UsageError

if TYPE_CHECKING:
    from llmserve.bench.records import Run, Serving, StageSummary, Summary
    from llmserve.bench.sampler import Sampler

__all__ = ["Bench", "Measured", "bench", "measure", "room_for"]

SPARE_FILES = 64


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A run and its rows."""

    run: Run
    table: Table


class Bench:
    """An endpoint that is known and warm. ``load`` runs a stage, as often as is wanted; ``run`` sums all up."""

    def __init__(self, loop: Loop, settings: Settings, form: Form, vocabulary: Vocabulary, notes: tuple[str, ...],
                 sampler: Sampler | None) -> None:  # fmt: skip
        import datetime

        from llmserve.bench import slo

        self.loop, self.settings, self.form, self.notes = loop, settings, form, list(notes)
        self.goals = slo.parse_goals(settings.slo)
        self.source = supply.source_of(settings, form, vocabulary)
        self.started = datetime.datetime.now(datetime.UTC)
        self.summaries: list[StageSummary] = []
        self.tallies: list[Tally] = []
        self._sampler = sampler
        self._first = 0
        self._stages = 0
        self._anew = False  # then the server counted more than is kept here

    def warm_up(self) -> None:
        """Requests that are not measured; what the server counts from then on is the load."""
        settings, stage = self.settings, self.settings.all_stages[0]
        wanted = min(stage.concurrency, 8) if settings.warmup is None else settings.warmup
        if wanted:
            requests = map(supply.unmeasured, islice(self.source.stream(supply.WARM_UP), wanted))
            users = min(wanted, stage.most_connections, stage.concurrency)
            self.loop.run(Drive(requests=requests, connections=users, users=users, timeout_s=settings.timeout_s))
            kept = self.loop.tally
            self.loop.renew(
                self.loop.table,
                Tally(examples=kept.examples, stopped=kept.stopped, gave_up=kept.gave_up),
            )
        self._first = len(self.loop.table)
        if self._sampler:
            self._sampler.mark()

    def load(self, stage: Stage) -> StageSummary:
        """Run one stage; its figures."""
        from llmserve.bench import processes
        from llmserve.bench.summary import proof_of, summarise

        before = len(self.loop.table)
        tallies, note = processes.load(self.loop, self.settings, stage, self._stages, self.source)
        self._stages += 1
        for index, tally in enumerate(tallies):
            if index < len(self.tallies):
                self.tallies[index].merge(tally)
            else:
                self.tallies.append(copy.deepcopy(tally))
        self.notes += [note] if note else []
        self._anew = self._anew or bool(note)
        summary = summarise(
            self.loop.table.part(before), stage.load, goals=self.goals, percentiles=self.settings.percentiles
        )
        summary = replace(summary, proof=proof_of(summary, tallies))
        self.summaries.append(summary)
        return summary

    @property
    def over(self) -> bool:
        """Whether there is no use in another stage: the user ended it, or the server answers no more."""
        return self.loop.stop or bool(self.loop.tally.gave_up)

    def run(self, endpoint: Endpoint, shown: dict[str, Any]) -> Run:
        """All stages as one run; ``shown`` are the settings as they are stored with it."""
        from llmserve.bench.records import Run

        tally = self.loop.tally
        serving = self._serving()
        return Run(
            id=f"{self.started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
            started=self.started.isoformat(timespec="milliseconds"), llmserve=__version__, base_url=endpoint.base_url,
            model=self.form.model, api=self.settings.api, settings=shown, summary=self._summary(endpoint),
            interrupted=tally.stopped, serving=serving,
        )  # fmt: skip

    def _summary(self, endpoint: Endpoint) -> Summary:
        from llmserve.bench.summary import proven, summarise

        tally, settings = self.loop.tally, self.settings
        said = {cause: endpoint.redacted(detail) for cause, detail in tally.examples.items()}
        figures = summarise(
            self.loop.table, settings.load, goals=self.goals, percentiles=settings.percentiles, examples=said,
            resent=tally.resent, parts=self.summaries,
        )  # fmt: skip
        notes = (*self.notes, *([tally.gave_up] if tally.gave_up else []))
        tallies = self.tallies or [tally]
        tallies[0].rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        stages = tuple(self.summaries) if len(self.settings.all_stages) > 1 or len(self.summaries) > 1 else ()
        return proven(figures, tallies, extra_notes=notes, stages=stages)

    def _serving(self) -> Serving | None:
        if self._sampler is None:
            return None
        tokens, complete = 0, not self._anew
        for row in self.loop.table.since(self._first):
            tokens, complete = tokens + row.output_tokens, complete and row.ok and row.counted
        return self._sampler.serving(self._base_s, tokens, complete=complete)

    @property
    def now_s(self) -> float:
        """Seconds on the clock of the run's rows and of what the server said."""
        return time.monotonic() - self._base_s

    @property
    def _base_s(self) -> float:
        return (self.loop.base_ns - self.loop.offset_ns) / 1e9


@contextmanager
def bench(
    endpoint: Endpoint, settings: Settings, *, watch: Callable[[Loop], None] | None = None,
    interruptible: Callable[[Loop], None] | None = None,
) -> Iterator[Bench]:  # fmt: skip
    """Get to know ``endpoint`` and warm it up. ``interruptible`` gets the loop so that a signal can stop it.

    Raises:
        LlmserveError: the endpoint cannot be reached, or refuses the very first request.
    """
    room_for(settings.most_connections)
    target = lookup.reach(endpoint)
    model = endpoint.model or lookup.first_model(endpoint, target)
    loop = Loop(target, settings.api, Table(), watch=watch)
    if interruptible:
        interruptible(loop)
    try:
        form, vocabulary, notes = learn(loop, endpoint, model, settings)
        from llmserve.bench.sampler import sampling

        with sampling(endpoint, wanted=lookup.has_metrics(endpoint, target)) as sampler:
            found = Bench(loop, settings, form, vocabulary, notes, sampler)
            found.warm_up()
            yield found
    finally:
        loop.close()


def measure(
    endpoint: Endpoint, settings: Settings, *, shown: dict[str, Any], watch: Callable[[Loop], None] | None = None,
    interruptible: Callable[[Loop], None] | None = None,
) -> Measured:  # fmt: skip
    """Run all stages of ``settings`` against ``endpoint``.

    Raises:
        LlmserveError: the endpoint cannot be reached, or refuses the very first request.
    """
    with bench(endpoint, settings, watch=watch, interruptible=interruptible) as known:
        for stage in settings.all_stages:
            if not known.over:
                known.load(stage)
        return Measured(run=known.run(endpoint, shown), table=known.loop.table)


def room_for(connections: int) -> None:
    """Raise the limit of open files, if it must and may be.

    Raises:
        UsageError: the system's limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise UsageError(
                f"{connections} connections need more open files than this system allows ({hard}).",
                hint=f"Raise it with ulimit -n {wanted}, or ask for fewer.",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
