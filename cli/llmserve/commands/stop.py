"""``llmserve stop``: end servers and keep their records, so that they can be started again."""

from __future__ import annotations

from typing import Annotated

import typer

from llmserve.commands import ending
from llmserve.commands.options import Json, Quiet
from llmserve.commands.server_names import chosen
from llmserve.engine.stop import refuse_elsewhere
from llmserve.output import Output
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)


EXAMPLES = """Examples:

\b
  llmserve stop tiny              `llmserve restart tiny` starts it again
  llmserve stop --grace 60 tiny   running answers have a minute to finish
  llmserve stop --all
"""


@app.command(epilog=EXAMPLES)
def stop(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Servers to stop; omitted: the only one.")] = None,
    all_servers: Annotated[bool, typer.Option("--all", "-a", help="Stop every server.")] = False,
    grace: ending.Grace = ending.GRACE,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Stop servers, and keep their records, logs and keys: `llmserve restart` starts them again as they were."""
    output: Output = ctx.obj
    servers = chosen(
        names or [], all_servers=all_servers, among=lambda server: server.running or server.state == "died",
        what="running",
    )  # fmt: skip
    for server in servers:
        refuse_elsewhere(server)
    ends = {server.name: ending.end(server, output, grace=grace, forget=False) for server in servers if server.running}
    ended = [server.name for server in servers if not server.running]
    said = [ending.sentence(name, drained) for name, drained in ends.items()]
    said += [f"{name} was not running." for name in ended]
    return Result(
        data={"stopped": list(ends), "answers": {name: ending.figures(drained) for name, drained in ends.items()}},
        human="\n".join(said) or "No server is running.",
        quiet="\n".join(ends),
        messages=(f"`llmserve restart {' '.join(ends)}` starts it again; `llmserve down` forgets it.",) if ends else (),
    )
