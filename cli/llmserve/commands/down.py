"""``llmserve down``: stop servers and forget them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from llmserve.commands import ending
from llmserve.commands.options import Json, Quiet
from llmserve.commands.server_names import chosen
from llmserve.engine import registry
from llmserve.engine.server import Server
from llmserve.engine.stop import stop_stray
from llmserve.output import Output
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)


EXAMPLES = """Examples:

\b
  llmserve down            the only server
  llmserve down tiny
  llmserve down --grace 60 tiny
  llmserve down --all      every one; also forgets those that ended
"""


@app.command(epilog=EXAMPLES)
def down(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Servers to stop; omitted: the only one.")] = None,
    all_servers: Annotated[bool, typer.Option("--all", "-a", help="Stop every server.")] = False,
    grace: ending.Grace = ending.GRACE,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Stop servers, and say so only when their processes are gone.

    Their records, logs and keys go too; `llmserve stop` keeps them.
    """
    output: Output = ctx.obj
    strays = {stray.name: stray for stray in registry.strays()}
    wanted = [name for name in strays if all_servers or name in (names or [])]
    known = [name for name in names or [] if name not in strays]
    by_name_alone = bool(wanted) and not known and not all_servers
    servers = (
        [] if by_name_alone else chosen(known, all_servers=all_servers, among=_counts(all_servers), what="running")
    )
    ends = {server.name: ending.end(server, output, grace=grace, forget=True) for server in servers}
    for name in wanted:
        stop_stray(strays[name], grace=grace)
    stopped = [server.name for server in servers if server.running]
    forgotten = [server.name for server in servers if not server.running]
    said = [ending.sentence(name, ends[name]) for name in stopped]
    said += [f"Stopped {name}, whose record could not be read." for name in wanted]
    said += [f"Forgot {', '.join(forgotten)}, which had ended."] if forgotten else []
    return Result(
        data={
            "stopped": [*stopped, *wanted],
            "forgotten": forgotten,
            "answers": {name: ending.figures(ends[name]) for name in stopped},
        },
        human="\n".join(said) or "No server is running.",
        quiet="\n".join([*stopped, *wanted, *forgotten]),
    )


def _counts(everyone: bool) -> Callable[[Server], bool]:
    """Whom ``down`` without a name means: what runs, was stopped, or was killed. ``--all``: what is this machine's."""
    if everyone:
        return lambda server: server.state != "elsewhere"
    return lambda server: server.running or server.state in ("died", "stopped")
