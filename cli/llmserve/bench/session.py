"""One ``llmserve bench`` with a person in front of it: consent, Ctrl-C, files, and the exit code."""

from __future__ import annotations

import ipaddress
import math
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmserve.bench import published
from llmserve.bench.cost import Prices
from llmserve.bench.files import Files, write_rows
from llmserve.bench.loop import Loop
from llmserve.bench.records import Run
from llmserve.bench.runner import bench
from llmserve.bench.settings import Settings, Stage
from llmserve.bench.table import Table
from llmserve.endpoint.endpoint import Endpoint
from llmserve.errors import LlmserveError, UsageError
from llmserve.output import Output
from llmserve.output.bench import report
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.bench.ab import Ratio
    from llmserve.bench.live import Teller
    from llmserve.bench.search import Level
    from llmserve.bench.survey import Quest

__all__ = ["Wishes", "run"]

QUIETLY = 8  # streams that any address may be given without a question
MISSED = 8


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What else is wanted of a run: a search (``quest``), a second endpoint, files, prices, an exit code."""

    quest: Quest | None = None
    second: Endpoint | None = None
    files: Files = field(default_factory=Files)
    prices: Prices = field(default_factory=Prices)
    fail: bool = False
    yes: bool = False


def run(
    endpoint: Endpoint, settings: Settings, *, output: Output, shown: dict[str, Any], wishes: Wishes | None = None
) -> Result:
    """Measure and report.

    Raises:
        UsageError: the load is for a public address and nobody agreed, or a file cannot be written.
    """
    wishes = wishes or Wishes()
    wishes.files.check()
    for one in filter(None, (endpoint, wishes.second)):
        consent(one, settings, output, yes=wishes.yes)
        for note in one.notes:
            output.note(note)
    with _view(output) as teller:
        if wishes.second:
            return _compared(endpoint, wishes.second, settings, shown, wishes, teller)
        return _measured(endpoint, settings, shown, wishes, teller)


@contextmanager
def _view(output: Output) -> Iterator[Teller | None]:
    """Progress for whoever reads stderr; nobody does in JSON and quiet mode."""
    if output.mode != "human":
        yield None
        return
    from llmserve.bench.live import showing

    with showing(live=output.interactive) as teller:
        yield teller


def _measured(
    endpoint: Endpoint, settings: Settings, shown: dict[str, Any], wishes: Wishes, teller: Teller | None
) -> Result:
    quest, assumed = wishes.quest, False
    if quest:
        from llmserve.bench import survey

        settings, assumed = survey.objectives(settings)
    levels: list[Level] = []

    def begin(stage: Stage) -> None:
        if teller:
            teller.begin(stage.name or _spoken(stage), stage.duration_s, stage.requests)

    with bench(endpoint, settings, watch=teller, interruptible=Stopper()) as known:
        if quest:
            levels = survey.levels_of(known, quest, begin)
        else:
            for stage in settings.all_stages:
                if not known.over:
                    begin(stage)
                    known.load(stage)
        done = known.run(endpoint, shown)
        if quest:
            done = survey.concluded(done, levels, quest, assumed=assumed)
        done = _complete(done, known.loop.table, endpoint, wishes)
        if wishes.files.rows:
            write_rows(known.loop.table, wishes.files.rows)
    return _result(done, wishes, levels)


def _spoken(stage: Stage) -> str:
    if stage.trace:
        return "a trace"
    return f"{stage.rate:g} per second" if stage.rate else f"{stage.concurrency} at a time"


def _complete(run: Run, table: Table, endpoint: Endpoint, wishes: Wishes) -> Run:
    """The run with what is learnt after it: the machine, the server, its course, and what it cost."""
    from llmserve.bench import cost
    from llmserve.bench.curves import course
    from llmserve.bench.facts import machine_facts, server_facts

    server = server_facts(endpoint, run.model)
    prices = wishes.prices
    if prices.gpus is None:
        prices = replace(prices, gpus=max(1, server.get("gpus") or 1))
    curves, cells = course(table)
    found = cost.costs(run.summary, prices)
    return replace(
        run,
        machine=machine_facts(endpoint.base_url),
        server=server,
        curves=curves,
        timeline=tuple(cells),
        cost=found,
        answers=(*run.answers, *cost.sentences(found, run.summary)),
    )


def _compared(
    a: Endpoint, b: Endpoint, settings: Settings, shown: dict[str, Any], wishes: Wishes, teller: Teller | None
) -> Result:
    """Load two endpoints in turns."""
    from llmserve.bench import ab

    stop, pairs = Stopper(), ab.PAIRS
    stage = ab.block(settings.stage, pairs)

    def begin(name: str, part: Stage) -> None:
        if teller:
            teller.begin(f"{name}: {_spoken(part)}", part.duration_s, part.requests)

    with (
        bench(a, settings, watch=teller, interruptible=stop) as first,
        bench(b, settings, watch=teller, interruptible=stop) as second,
    ):
        found = ab.blocks(first, second, stage, pairs=pairs, seed=settings.seed, begin=begin)
        runs = [
            _complete(known.run(one, {**shown, "ab": name}), known.loop.table, one, wishes)
            for name, known, one in (("A", first, a), ("B", second, b))
        ]
    return ab_result(runs, ab.ratios(found), wishes, pairs=len(found), seed=settings.seed)


def ab_result(runs: Sequence[Run], ratios: Sequence[Ratio], wishes: Wishes, *, pairs: int, seed: int) -> Result:
    from llmserve.bench import ab
    from llmserve.bench.compare import entry
    from llmserve.output.bench_search import side_by_side

    datas = [published.as_data(one) for one in runs]
    entries = [entry(data, f"{name}: {data['run']['base_url']}") for name, data in zip("AB", datas, strict=True)]
    said = ab.sentences(ratios)
    data = {
        "schema": "bench-ab-1", "pairs": pairs, "seed": seed, "a": datas[0], "b": datas[1], "answers": said,
        "ratios": {one.measure: {**asdict(one), "better": one.better} for one in ratios},
    }  # fmt: skip
    proofs = [(name, one.summary.proof) for name, one in zip("AB", runs, strict=True)]
    invalid = [f"{name} is INVALID: {'; '.join(proof.reasons)}." for name, proof in proofs if not proof.valid]
    error = None
    if not ratios:
        hint = "Try each of them alone: llmserve bench --base-url URL"
        why = "Nothing can be compared: no pair of blocks has answers from both."
        error = LlmserveError(why, hint=hint, code="all_failed")
    elif wishes.fail and invalid:
        error = BenchMissedError("The comparison is not to be relied on: a run is INVALID.", hint="Lower the load.")
    human = "\n".join([f"{pairs} pairs of blocks, in an order drawn by seed {seed}", *invalid, "",
                       side_by_side(entries), "", *said])  # fmt: skip
    code = error.exit_code if error else 130 if any(one.interrupted for one in runs) else 0
    quiet = f"{ratios[0].ratio:.4f}" if ratios else ""
    return Result(data=data, human=human, messages=tuple(wishes.files.write_entries(entries, data)), error=error,
                  exit_code=code, quiet=quiet)  # fmt: skip


def _result(run: Run, wishes: Wishes, levels: Sequence[Level]) -> Result:
    summary, quest = run.summary, wishes.quest
    missed = [goal.text for goal in summary.goals if not goal.met]
    error = None
    if not summary.requests.ok:
        cause = next(iter(summary.requests.by_cause), "interrupted")
        error = LlmserveError("No request succeeded.", hint=f"See the causes above: {cause}.", code="all_failed")
    elif wishes.fail and (missed or not summary.proof.valid):
        why = f"missed {', '.join(missed)}" if missed else "the run is INVALID"
        error = BenchMissedError(f"The goal was not reached: {why}.", hint="Lower the load, or see `--slo`.")
    code = error.exit_code if error else 130 if run.interrupted else 0
    data = published.as_data(run)
    human = report(run)
    if quest and levels:
        from llmserve.output.bench_search import search_report

        human = search_report(run, levels, by_rate=quest.by_rate)
    elif run.answers:
        human += "\n\n" + "\n".join(run.answers)
    written = wishes.files.write(data)
    return Result(
        data=data, human=human, exit_code=code, error=error,
        messages=(*summary.proof.warnings, *summary.notes, *written), quiet=_quiet(run),
    )  # fmt: skip


class BenchMissedError(LlmserveError):
    exit_code = MISSED
    default_code = "goal_missed"


def _quiet(run: Run) -> str:
    throughput = run.summary.throughput
    return f"{throughput.steady_output_tokens or throughput.output_tokens:.1f}"


def consent(endpoint: Endpoint, settings: Settings, output: Output, *, yes: bool) -> None:
    """Ask before more than a few streams go to an address that is not this machine's or its network's.

    Raises:
        UsageError: nobody agreed.
    """
    unbounded = settings.open_loop and not settings.connections
    streams = (settings.rate or math.inf) if unbounded else settings.most_connections
    if yes or streams <= QUIETLY or is_near(urlsplit(endpoint.base_url).hostname or ""):
        return
    said = f"{endpoint.base_url} is a public address, and this sends it up to {streams:g} requests at a time"
    if unbounded:
        rate = f"{streams:g} requests per second" if settings.rate else "a trace"
        said = f"{endpoint.base_url} is a public address, and this sends it {rate}"
    if output.interactive:
        import typer

        if typer.confirm(f"{said}. Is it yours, or do you have leave?", err=True):
            return
    raise UsageError(f"{said}.", hint="Add --yes if it is yours to load, or use -c 8.", code="not_confirmed")


def is_near(host: str) -> bool:
    """Whether every address of ``host`` is loopback, private or link-local; unknown hosts are refused later."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return True
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
    return all(one.is_loopback or one.is_private or one.is_link_local for one in addresses)


class Stopper:
    """The first Ctrl-C (or SIGTERM) ends the run with what it has; a second one ends at once.

    Called with each loop that is to be stopped.
    """

    def __init__(self) -> None:
        self._loops: list[Loop] = []

    def __call__(self, loop: Loop) -> None:
        self._loops.append(loop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        if any(loop.stop for loop in self._loops):
            raise KeyboardInterrupt
        for loop in self._loops:
            loop.stop = True
