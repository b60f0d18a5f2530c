"""One ``llmserve bench`` with a person in front of it: consent, Ctrl-C, files, and the exit code."""

from __future__ import annotations

import ipaddress
import json
import math
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmserve.bench import published
from llmserve.bench.loop import Loop
from llmserve.bench.runner import Measured, measure
from llmserve.bench.settings import Settings
from llmserve.bench.table import Table
from llmserve.endpoint.endpoint import Endpoint
from llmserve.errors import LlmserveError, UsageError
from llmserve.output import Output
from llmserve.output.bench import report
from llmserve.result import Result

__all__ = ["run"]

QUIETLY = 8  # streams that any address may be given without a question
MISSED = 8


def run(
    endpoint: Endpoint, settings: Settings, *, output: Output, shown: dict[str, Any], rows_file: str | None = None,
    fail: bool = False, yes: bool = False,
) -> Result:  # fmt: skip
    """Measure and report.

    Raises:
        UsageError: the load is for a public address and nobody agreed.
    """
    consent(endpoint, settings, output, yes=yes)
    for note in endpoint.notes:
        output.note(note)
    done = measure(endpoint, settings, shown=shown, interruptible=stop_on_signals)
    if rows_file:
        write_rows(done.table, Path(rows_file))
    return _result(done, fail=fail)


def _result(done: Measured, *, fail: bool) -> Result:
    summary = done.run.summary
    missed = [goal.text for goal in summary.goals if not goal.met]
    error = None
    if not summary.requests.ok:
        cause = next(iter(summary.requests.by_cause), "interrupted")
        error = LlmserveError("No request succeeded.", hint=f"See the causes above: {cause}.", code="all_failed")
    elif fail and (missed or not summary.proof.valid):
        why = f"missed {', '.join(missed)}" if missed else "the run is INVALID"
        error = BenchMissedError(f"The goal was not reached: {why}.", hint="Lower the load, or see `--slo`.")
    code = error.exit_code if error else 130 if done.run.interrupted else 0
    return Result(
        data=published.as_data(done.run), human=report(done.run), exit_code=code, error=error,
        messages=(*summary.proof.warnings, *summary.notes), quiet=_quiet(done),
    )  # fmt: skip


class BenchMissedError(LlmserveError):
    exit_code = MISSED
    default_code = "goal_missed"


def _quiet(done: Measured) -> str:
    throughput = done.run.summary.throughput
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


def stop_on_signals(loop: Loop) -> None:
    """The first Ctrl-C (or SIGTERM) ends the run with what it has; a second one ends at once."""

    def stop(*_: object) -> None:
        if loop.stop:
            raise KeyboardInterrupt
        loop.stop = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def write_rows(table: Table, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in table:
            file.write(json.dumps(published.row_data(row), separators=(",", ":")) + "\n")
