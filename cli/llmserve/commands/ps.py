"""``llmserve ps``: the servers of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from llmserve.commands.options import Json, Quiet
from llmserve.engine import registry
from llmserve.engine.server import Server
from llmserve.output.text import columns, duration
from llmserve.records import to_json
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

HEADER = ("NAME", "STATE", "MODEL", "ENGINE", "URL", "UPTIME")


EXAMPLES = """Examples:

\b
  llmserve ps
  llmserve ps --all      also those that failed or died
  llmserve ps -q         names only
"""


@app.command(epilog=EXAMPLES)
def ps(
    all_servers: Annotated[bool, typer.Option("--all", "-a", help="Also those that failed or died.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """List the servers that llmserve started here."""
    known = registry.servers()
    shown = [server for server in known if all_servers or server.running]
    hidden = len(known) - len(shown)
    return Result(
        data={"servers": [to_json(server) | {"uptime_s": round(server.uptime, 1)} for server in shown]},
        human=columns(HEADER, [_row(server) for server in shown]) if shown else "No server is running.",
        quiet="\n".join(server.name for server in shown),
        messages=(f"{hidden} that ended are not shown: `llmserve ps --all`.",) if hidden else (),
    )


def _row(server: Server) -> tuple[str, ...]:
    state = f"{server.state} ({server.stage})" if server.state == "starting" and server.stage else server.state
    uptime = duration(server.uptime) if server.running else "-"
    return server.name, state, server.model, server.engine, server.url, uptime
