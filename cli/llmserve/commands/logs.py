"""``llmserve logs``: what a server printed."""

from __future__ import annotations

import contextlib
import re
import select
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from llmserve.commands.options import Json
from llmserve.commands.server_names import newest
from llmserve.engine import logfile, registry
from llmserve.engine.logfile import Line
from llmserve.engine.server import Server
from llmserve.errors import UsageError
from llmserve.output import Output
from llmserve.output.text import printable
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_PAUSE = 0.1


EXAMPLES = """Examples:

\b
  llmserve logs
  llmserve logs tiny -n 50 -f
  llmserve logs --since 10m
  llmserve logs --since 2026-12-01T09:30
"""


@app.command(epilog=EXAMPLES)
def logs(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Server; omitted: the newest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C or the server's end.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", "-n", help="Only the last lines.", min=0)] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from then on: 90s, 10m, 2h, 1d ago, or a date and time.")
    ] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="Begin each line with its time.")] = False,
    json: Json = False,
) -> Result | int:
    """Show what a server printed, also of one that ended, across its restarts."""
    output: Output = ctx.obj
    server = newest(name)
    begin = _when(since) if since else None
    if not follow or output.mode == "json":
        found = logfile.last(logfile.since(logfile.lines(server.log), begin), tail)
        text = [_shown(line, timestamps) for line in found]
        return Result(data={"server": server.name, "lines": text}, human="\n".join(text))
    _follow(output, server, tail, begin, timestamps=timestamps)
    return 0


def _when(text: str) -> float:
    """Seconds since the epoch for ``10m`` (ago) or a date and time, local unless it says otherwise."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", text.strip()):
        unit = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}[found[2]]
        return time.time() - float(found[1]) * unit
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is no time.", hint="Try --since 10m, or --since 2026-12-01T09:30.") from error


def _shown(line: Line, timestamps: bool) -> str:
    begin = f"{logfile.stamp(line.at)} " if timestamps and line.at is not None else ""
    return begin + printable(line.text)


def _follow(output: Output, server: Server, tail: int | None, begin: float | None, *, timestamps: bool) -> None:
    """Ctrl-C here ends the watching, not the server: so it is a good end."""
    try:
        for line in _growing(server, tail, begin):
            output.out.write(_shown(line, timestamps) + "\n")
            output.out.flush()
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # `llmserve logs -f | head`; Typer would make an error of it
        output.closed()


def _growing(server: Server, tail: int | None, begin: float | None) -> Iterator[Line]:
    """Lines that are there, then those that come, until the server has ended or nobody reads any more."""
    with contextlib.closing(logfile.Follower(server.log)) as follower:
        yield from logfile.last(logfile.since(logfile.lines(server.log, until=follower), begin), tail)
        while _read_on():
            ended = not _runs(server)  # asked first: what it printed last is still read
            yield from follower.new()
            if ended:
                return
            time.sleep(_PAUSE)


def _runs(server: Server) -> bool:
    current = registry.read(Path(server.directory))
    return current is not None and current.running


def _read_on() -> bool:
    """Whether somebody reads our output: a pipe whose other end was closed tells so without being written to."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
