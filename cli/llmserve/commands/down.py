"""``llmserve down``: stop servers."""

from __future__ import annotations

from typing import Annotated

import typer

from llmserve.commands.options import Json, Quiet
from llmserve.engine import registry
from llmserve.engine.server import Server
from llmserve.engine.stop import stop
from llmserve.errors import UsageError
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)


EXAMPLES = """Examples:

\b
  llmserve down            the only server
  llmserve down tiny
  llmserve down --all      every one; also forgets those that failed
"""


@app.command(epilog=EXAMPLES)
def down(
    names: Annotated[list[str] | None, typer.Argument(help="Servers to stop; omitted: the only one.")] = None,
    all_servers: Annotated[bool, typer.Option("--all", "-a", help="Stop every server.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Stop servers, and say so only when their processes are gone."""
    chosen = _chosen(names or [], all_servers=all_servers)
    stopped = [server.name for server in chosen if server.running]
    forgotten = [server.name for server in chosen if not server.running]
    for server in chosen:
        stop(server)
    said = [f"Stopped {', '.join(stopped)}."] if stopped else []
    said += [f"Forgot {', '.join(forgotten)}, which had ended."] if forgotten else []
    return Result(
        data={"stopped": stopped, "forgotten": forgotten},
        human="\n".join(said) or "No server is running.",
        quiet="\n".join([*stopped, *forgotten]),
    )


def _chosen(names: list[str], *, all_servers: bool) -> list[Server]:
    if all_servers:
        return registry.servers()
    if names:
        return [registry.get(name) for name in dict.fromkeys(names)]
    running = [server for server in registry.servers() if server.running or server.state == "died"]
    if len(running) > 1:
        known = ", ".join(server.name for server in running)
        raise UsageError(f"Several servers are running: {known}.", hint="Name the one to stop, or use --all.")
    return running
