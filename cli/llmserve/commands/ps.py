"""``llmserve ps``: the servers of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from llmserve.commands.options import Json, Quiet
from llmserve.engine import registry
from llmserve.engine.live import Live, look
from llmserve.engine.registry import Stray
from llmserve.engine.server import Server
from llmserve.output import Output
from llmserve.output.text import columns, duration, gib
from llmserve.records import to_json
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

HEADER = ("NAME", "STATE", "MODEL", "ENGINE", "URL", "UPTIME", "MEMORY", "REQUESTS")
_LEFT_OUT = ("ENGINE", "MODEL", "MEMORY", "REQUESTS")
"""Columns that a narrow terminal goes without, in this order; `llmserve status` has them."""


EXAMPLES = """Examples:

\b
  llmserve ps
  llmserve ps --all      also those that were stopped, failed or died
  llmserve ps -q         names only
"""


@app.command(epilog=EXAMPLES)
def ps(
    ctx: typer.Context,
    all_servers: Annotated[
        bool, typer.Option("--all", "-a", help="Also those that were stopped, failed or died.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """List the servers that llmserve started here.

    MEMORY is the GPUs', or the machine's where a server has no GPU; REQUESTS are those that run, + those that wait.
    """
    known, strays = registry.servers(), registry.strays()
    shown = [server for server in known if all_servers or server.running or server.state == "elsewhere"]
    live = look(shown)
    rows = [_row(server, live.get(server.name, Live())) for server in shown] + [_stray(stray) for stray in strays]
    return Result(
        data={
            "servers": [_data(server, live.get(server.name, Live())) for server in shown],
            "unreadable": [{"name": stray.name, "directory": str(stray.directory)} for stray in strays],
        },
        human=table(rows, _width(ctx.obj)) if rows else "No server is running.",
        quiet="\n".join([*(server.name for server in shown), *(stray.name for stray in strays)]),
        messages=tuple(_messages(known, shown, strays)),
    )


def table(rows: Sequence[Sequence[str]], width: int | None) -> str:
    """As many columns as ``width`` characters hold; None: all."""
    shown = list(range(len(HEADER)))
    for name in (None, *_LEFT_OUT):
        if name is not None:
            shown.remove(HEADER.index(name))
        text = columns([HEADER[at] for at in shown], [[row[at] for at in shown] for row in rows])
        if width is None or max(map(len, text.splitlines())) <= width:
            break
    return text


def _width(output: Output) -> int | None:
    """A terminal's; a pipe takes everything."""
    return shutil.get_terminal_size().columns if output.out.isatty() else None


def _data(server: Server, live: Live) -> dict[str, Any]:
    return to_json(server) | {"uptime_s": round(server.uptime, 1), "live": asdict(live)}


def _row(server: Server, live: Live) -> tuple[str, ...]:
    return (
        server.name,
        state(server),
        server.model,
        server.engine,
        server.url,
        duration(server.uptime) if server.running else "-",
        memory(live),
        requests(live),
    )


def _stray(stray: Stray) -> tuple[str, ...]:
    return (stray.name, "running, record unreadable", "?", "?", "?", "-", "-", "-")


def state(server: Server) -> str:
    """The state, with the stage of a start and the restarts of a server that needed some."""
    if server.state == "starting" and server.stage:
        how = ", paused" if server.paused else ", stuck?" if server.activity.startswith("stuck") else ""
        return f"starting ({server.stage}{how})"
    if server.state == "elsewhere" and server.place:
        return f"on {server.place.host}"
    if server.state in ("ready", "restarting") and server.restarts:
        return f"{server.state} ({server.restarts} restart{'s' * (server.restarts > 1)})"
    return server.state


def paused(server: Server) -> Iterator[str]:
    """What a signal has stopped, and how to let it go on."""
    if server.running and server.paused and server.process:
        yield f"it was paused by a signal; to go on: kill -CONT -- -{server.process.pid}"
    if server.keeper and server.keeper.paused and server.state != "elsewhere":
        yield f"nobody watches it, llmserve's process beside it was paused; to go on: kill -CONT {server.keeper.pid}"


def memory(live: Live) -> str:
    size = live.memory_bytes if live.gpu_bytes is None else live.gpu_bytes
    return "-" if size is None else gib(size)


def requests(live: Live) -> str:
    if live.running is None:
        return "-"
    return f"{live.running} + {live.queued}" if live.queued else str(live.running)


def _messages(known: list[Server], shown: list[Server], strays: list[Stray]) -> list[str]:
    hidden = len(known) - len(shown)
    said = [f"{hidden} that ended {'is' if hidden == 1 else 'are'} not shown: `llmserve ps --all`."] if hidden else []
    for server in shown:
        said += [f"{server.name}: {words}" for words in paused(server)]
        if server.activity:
            said.append(f"{server.name}: {server.activity}.")
    said += [f"The record of {stray.name} is damaged, or a newer llmserve's; `down` can stop it." for stray in strays]
    return said
