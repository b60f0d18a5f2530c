"""A run from the settings to the figures: learn how the endpoint wants to be asked, warm up, load, sum up."""

from __future__ import annotations

import contextlib
import datetime
import resource
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmserve import __version__
from llmserve.bench import dataset, extras, lookup, schedule, self_proof, slo
from llmserve.bench.dataset import FromFile
from llmserve.bench.drive import Drive
from llmserve.bench.lengths import Lengths
from llmserve.bench.loop import Loop
from llmserve.bench.payload import Form
from llmserve.bench.records import Load, Request, Row, Run, Serving, StageSummary, Summary
from llmserve.bench.sampler import Sampler, sampling
from llmserve.bench.summary import summarise
from llmserve.bench.table import Table
from llmserve.bench.tally import Tally
from llmserve.bench.words import Vocabulary, calibrate
from llmserve.bench.workload import Supply, Synthetic, unmeasured
from llmserve.endpoint.endpoint import Endpoint
from llmserve.errors import LlmserveError, UsageError

__all__ = ["Measured", "Settings", "measure"]

PREPARE_S = 0.03
SPARE_FILES = 64
OPEN_LOOP_CONNECTIONS = 1024


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user asked for. ``connections`` caps what is in flight in an open loop (``rate`` or ``trace``).

    ``ramp_to`` is the rate at the end of ``duration_s``. A ``trace`` brings its own arrivals, a ``dataset`` only
    requests.
    """

    api: str = "chat"
    concurrency: int = 8
    requests: int | None = None
    duration_s: float | None = None
    rate: float | None = None
    arrival: str = "poisson"
    ramp_to: float | None = None
    trace: Path | None = None
    trace_speed: float = 1.0
    dataset: Path | None = None
    images: str | None = None
    connections: int | None = None
    inputs: Lengths
    outputs: Lengths
    warmup: int | None = None
    prefix_share: float = 0.0
    prefixes: int = 1
    repeatable: bool = False
    turns: int = 1
    think_s: float = 0.0
    seed: int = 0
    timeout_s: float = 300.0
    ignore_eos: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    slo: str | None = None
    percentiles: tuple[float, ...] = ()

    @property
    def open_loop(self) -> bool:
        return self.rate is not None or self.trace is not None

    @property
    def load(self) -> Load:
        arrival = self.arrival if self.ramp_to is None else f"{self.arrival}, growing to {self.ramp_to:g}"
        return Load(
            kind="open" if self.open_loop else "closed", rate=self.rate,
            concurrency=self.connections if self.open_loop else self.concurrency,
            arrival="trace" if self.trace else arrival if self.open_loop else "", requests=self.requests,
            duration_s=self.duration_s,
        )  # fmt: skip

    @property
    def most_connections(self) -> int:
        return self.connections or OPEN_LOOP_CONNECTIONS if self.open_loop else self.concurrency


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A run and its rows."""

    run: Run
    table: Table


def measure(
    endpoint: Endpoint, settings: Settings, *, shown: dict[str, Any], watch: Callable[[Loop], None] | None = None,
    interruptible: Callable[[Loop], None] | None = None,
) -> Measured:  # fmt: skip
    """Run the load against ``endpoint``.

    ``shown`` are the settings as they are stored with the run. ``interruptible`` gets the loop so that a signal can
    stop it.

    Raises:
        LlmserveError: the endpoint cannot be reached, or refuses the very first request.
    """
    room_for(settings.most_connections)
    goals = slo.parse_goals(settings.slo)
    target = lookup.reach(endpoint)
    model = endpoint.model or lookup.first_model(endpoint, target)
    started = datetime.datetime.now(datetime.UTC)
    table = Table()
    loop = Loop(target, settings.api, table, watch=watch)
    if interruptible:
        interruptible(loop)
    with contextlib.closing(loop):
        form, vocabulary, notes = learn(loop, endpoint, model, settings)
        source = source_of(settings, form, vocabulary)
        with sampling(endpoint, wanted=lookup.has_metrics(endpoint, target)) as sampler:
            serving = _sampled(loop, settings, source, sampler)
    tally = loop.tally
    said = {cause: endpoint.redacted(detail) for cause, detail in tally.examples.items()}
    figures = summarise(
        table, settings.load, goals=goals, percentiles=settings.percentiles, examples=said, resent=tally.resent
    )
    summary = proven(figures, [tally], extra_notes=(*notes, *([tally.gave_up] if tally.gave_up else [])))
    run = Run(
        id=f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}", started=started.isoformat(timespec="milliseconds"),
        llmserve=__version__, base_url=endpoint.base_url, model=model, api=settings.api, settings=shown,
        summary=summary, interrupted=tally.stopped, serving=serving,
    )  # fmt: skip
    return Measured(run=run, table=table)


def _sampled(loop: Loop, settings: Settings, source: Iterable[Request], sampler: Sampler | None) -> Serving | None:
    """Warm up and load, and what the server said of the load."""
    _warm_up(loop, settings, source)
    if sampler:
        sampler.mark()
    before = len(loop.table)
    if not loop.stop:
        _load(loop, settings, source)
    if sampler is None:
        return None
    tokens, complete = 0, True
    for row in loop.table.since(before):
        tokens, complete = tokens + row.output_tokens, complete and row.ok and row.counted
    return sampler.serving((loop.base_ns - loop.offset_ns) / 1e9, tokens, complete=complete)


def proven(figures: StageSummary, tallies: Sequence[Tally], *, extra_notes: Sequence[str] = ()) -> Summary:
    """The figures of a whole run with the proof of the client that made them."""
    tokens = figures.tokens.output + figures.tokens.lost
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    proof = self_proof.prove(tallies, chunk_gap=figures.chunk_gap_ms, tokens=tokens, rss_mib=rss)
    fields = {name: getattr(figures, name) for name in figures.__dataclass_fields__}
    return Summary(**{**fields, "notes": (*figures.notes, *extra_notes)}, proof=proof)


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


def learn(loop: Loop, endpoint: Endpoint, model: str, settings: Settings) -> tuple[Form, Vocabulary, tuple[str, ...]]:
    """How the endpoint is asked, and what its words cost.

    Raises:
        LlmserveError: it refuses in every form that is known.
    """
    plain = Form(
        base_url=endpoint.base_url, api=settings.api, model=model, api_key=endpoint.api_key,
        more_headers=endpoint.headers, ignore_eos=settings.ignore_eos and settings.api != "embeddings",
        extra=settings.extra,
    )  # fmt: skip
    modest = replace(plain, ignore_eos=False)
    for form in (*([plain] if plain.ignore_eos else []), modest, replace(modest, limit="max_completion_tokens")):
        row, detail = ask(loop, [form.payload(_user("time"), 1)], settings)[0]
        if row.status not in (400, 422):
            break
    if row.cause and row.cause not in ("missing_finish", "empty"):
        raise _refused(endpoint, row, detail)

    def count(prompts: Sequence[str]) -> list[int | None]:
        return [row.input_tokens for row, _ in ask(loop, [form.payload(_user(text), 1) for text in prompts], settings)]

    vocabulary = calibrate(count, like=round(settings.inputs.mean))
    notes = (
        () if vocabulary.exact else ("The lengths of inputs are approximate: the server's count did not confirm them.",)
    )
    return form, vocabulary, notes


def ask(loop: Loop, payloads: Sequence[bytes], settings: Settings) -> list[tuple[Row, str]]:
    """Send requests that are no part of the measurement; their rows in order, each with the words of a failure."""
    requests = [Request(payload=payload, session=index, measured=False) for index, payload in enumerate(payloads)]
    users = min(len(requests), 8, settings.most_connections)
    with loop.aside() as table:
        loop.run(Drive(requests=iter(requests), connections=users, users=users, timeout_s=settings.timeout_s))
        found = [(row, loop.tally.examples.get(row.cause, "")) for row in sorted(table, key=lambda row: row.session)]
    if loop.stop:
        raise KeyboardInterrupt
    return found


def source_of(settings: Settings, form: Form, vocabulary: Vocabulary) -> Iterable[Request]:
    """Where requests come from: a file, or words."""
    path = settings.trace or settings.dataset
    if path:
        return FromFile(
            entries=dataset.load(path), form=form, vocabulary=vocabulary, outputs=settings.outputs,
            once=settings.trace is not None, seed=settings.seed, repeatable=settings.repeatable,
        )  # fmt: skip
    return Synthetic(
        form=form, vocabulary=vocabulary, inputs=settings.inputs, outputs=settings.outputs, seed=settings.seed,
        repeatable=settings.repeatable, prefix_share=settings.prefix_share, prefixes=settings.prefixes,
        turns=settings.turns, think_s=settings.think_s,
        decorate=extras.images(settings.images) if settings.images else None,
    )  # fmt: skip


def _load(loop: Loop, settings: Settings, source: Iterable[Request]) -> None:
    supply = Supply(iter(source), settings.requests)
    _prepare(supply)
    if not settings.open_loop:
        loop.connect_ahead(min(settings.concurrency, settings.requests or settings.concurrency))
    loop.run(
        Drive(
            requests=supply, prepare=supply.prepare, connections=settings.most_connections, users=settings.concurrency,
            arrivals=_arrivals(settings), until_s=settings.duration_s, timeout_s=settings.timeout_s,
            drain_s=min(settings.timeout_s, 60.0), give_up_after=max(128, 2 * settings.most_connections),
        )
    )  # fmt: skip


def _arrivals(settings: Settings) -> Iterator[float] | None:
    if settings.trace:
        return dataset.arrivals(dataset.load(settings.trace), settings.trace_speed)
    if settings.rate is None:
        return None
    arrival = schedule.parse_arrival(settings.arrival)
    if settings.ramp_to is not None and settings.duration_s:
        return schedule.ramp(settings.rate, settings.ramp_to, settings.duration_s, arrival, settings.seed)
    return schedule.arrivals(settings.rate, arrival, settings.seed)


def _warm_up(loop: Loop, settings: Settings, source: Iterable[Request]) -> None:
    wanted = min(settings.concurrency, 8) if settings.warmup is None else settings.warmup
    if not wanted:
        return
    requests = [unmeasured(request) for request, _ in zip(source, range(wanted), strict=False)]
    users = min(wanted, settings.most_connections, settings.concurrency)
    loop.run(Drive(requests=iter(requests), connections=users, users=users, timeout_s=settings.timeout_s))
    kept = loop.tally
    loop.renew(loop.table, Tally(examples=kept.examples, stopped=kept.stopped, gave_up=kept.gave_up))


def _prepare(supply: Supply) -> None:
    """Build requests for a moment: the rest is built while the loop has nothing to do."""
    ends = time.monotonic() + PREPARE_S
    while supply.prepare() and time.monotonic() < ends:
        pass


def _user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def _refused(endpoint: Endpoint, row: Row, detail: str) -> LlmserveError:
    from llmserve.bench.records import CAUSES

    what = f"status {row.status}" if row.cause == "status" else CAUSES[row.cause]
    hint = "Check --model and the key." if row.status in (401, 403, 404) else "Try it with `llmserve chat -m hi` first."
    said = f" ({endpoint.redacted(detail)})" if detail else ""
    return LlmserveError(f"{endpoint.base_url} refused a first request: {what}{said}.", hint=hint, code="refused")
