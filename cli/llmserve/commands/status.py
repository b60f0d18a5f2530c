"""``llmserve status``: one server in full: what it is doing, what was planned, what went wrong last."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from llmserve.commands import ps
from llmserve.commands.card import described
from llmserve.commands.options import Json, Quiet
from llmserve.commands.server_names import newest
from llmserve.engine import logfile
from llmserve.engine.live import Live, look
from llmserve.engine.server import Server
from llmserve.output.text import duration, printable
from llmserve.records import to_json
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_LINES = 10
_VERBS = {"failed": "has", "died": "has"}

EXAMPLES = """Examples:

\b
  llmserve status             the newest server
  llmserve status tiny
  llmserve status tiny -q     its state alone
"""


@app.command(epilog=EXAMPLES)
def status(
    name: Annotated[str | None, typer.Argument(help="Server; omitted: the newest.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Show one server in full: state, facts, plan, and how it ended when it ended by itself."""
    server = newest(name)
    live = look([server]).get(server.name, Live())
    rows = [*_now(server, live), *described(server), *_settings(server)]
    text = "\n".join(f"  {label:<10} {value}" for label, value in rows)
    return Result(
        data=to_json(server) | {"uptime_s": round(server.uptime, 1), "log": str(server.log), "live": asdict(live)},
        title=f"{server.name} {_VERBS.get(server.state, 'is')} {ps.state(server)}",
        human="\n\n".join([text, *_ending(server)]),
        quiet=server.state,
    )


def _now(server: Server, live: Live) -> Iterator[tuple[str, str]]:
    if server.running:
        yield "Uptime", duration(server.uptime)
        yield "Requests", _requests(live)
        yield "Memory", f"{ps.memory(live)} {'on its GPUs' if live.gpu_bytes is not None else 'of this machine'}"
        yield "Processes", f"keeper {server.keeper.pid if server.keeper else '-'}, engine {_pids(live)}"
    if server.activity:
        yield "Activity", server.activity
    for words in ps.paused(server):
        yield "Paused", words
    if server.restarts:
        yield "Restarts", str(server.restarts)
    if server.drained and server.drained.running:
        drained = server.drained
        yield "Last stop", f"{drained.running} running, {drained.finished} finished, {drained.cut} cut"
    yield "Log", str(server.log)


def _requests(live: Live) -> str:
    if live.running is None:
        return "unknown: the engine did not say within a second"
    return f"{live.running} running, {live.queued} waiting"


def _pids(live: Live) -> str:
    return ", ".join(map(str, live.pids)) or "-"


def _settings(server: Server) -> Iterator[tuple[str, str]]:
    flags = [f"{flag.name} {flag.value}" if flag.value is not None else flag.name for flag in server.plan.flags]
    for number, flag in enumerate(flags):
        yield ("Settings" if number == 0 else ""), flag
    if server.extra_flags:
        yield "Yours", " ".join(server.extra_flags)


def _ending(server: Server) -> Iterator[str]:
    """How it ended last when nobody told it to, with the engine's last words."""
    last = server.last_ending
    failure: dict[str, Any] | None = last.failure if last else server.error
    if failure is None:
        if server.state == "died":
            yield f"llmserve's process beside it was killed.\n{_tail(server)}".rstrip()
        return
    when = f" ({duration(max(0.0, time.time() - last.at))} ago)" if last else ""
    said = "\n".join(f"  {printable(line)}" for line in (last.tail[-_LINES:] if last else ()))
    yield f"Last failure{when}: {failure['message']}\n  {failure['hint']}"
    if said:
        yield f"The engine's last lines (`llmserve logs {server.name}` has all):\n{said}"


def _tail(server: Server) -> str:
    found = logfile.last(logfile.lines(server.log), _LINES)
    return "\n".join(f"  {printable(line.text)}" for line in found)
