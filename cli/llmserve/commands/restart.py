"""``llmserve restart``: end servers and start them again as they were."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from llmserve import serve
from llmserve.commands import ending
from llmserve.commands.options import Json, Quiet
from llmserve.commands.server_names import chosen
from llmserve.commands.signals import Terminated, terminable
from llmserve.commands.waiting import until_ready
from llmserve.engine import orders, registry, saved
from llmserve.engine.launch import again, waiting_keeper
from llmserve.engine.orders import Order
from llmserve.engine.server import Server
from llmserve.engine.stop import refuse_elsewhere, resume, stop
from llmserve.errors import BY_EXIT_CODE, InterruptedByUser, ServerDiedError
from llmserve.output import Output
from llmserve.output.steps import Steps, steps
from llmserve.output.text import duration
from llmserve.records import to_json
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_STEPS = ("stop", *serve.STEPS[serve.STEPS.index("start") :])
_PAUSE = 0.1

EXAMPLES = """Examples:

\b
  llmserve restart tiny               same address, same key, same settings
  llmserve restart --grace 60 tiny    running answers have a minute to finish
"""


@app.command(epilog=EXAMPLES)
def restart(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Servers to restart; omitted: the only one.")] = None,
    all_servers: Annotated[bool, typer.Option("--all", "-a", help="Restart every server.")] = False,
    grace: ending.Grace = ending.GRACE,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Start servers anew as they were, running or ended, and say when each is ready."""
    output: Output = ctx.obj
    servers = chosen(
        names or [], all_servers=all_servers, among=lambda server: server.state != "elsewhere", what="here"
    )
    ready: list[Server] = []
    with terminable():
        for server in servers:
            with steps(_STEPS, output.err, mode=output.mode, interactive=output.interactive) as shown:
                ready.append(_restarted(server, shown, grace))
    return Result(
        data={"servers": [to_json(server) for server in ready]},
        human="\n".join(f"{server.name} is ready at {server.url} after {_took(server)}." for server in ready)
        or "There is no server.",
        quiet="\n".join(server.url for server in ready),
    )


def _took(server: Server) -> str:
    return duration(max(0.0, (server.ready_at or 0.0) - server.begun_at))


def _restarted(server: Server, shown: Steps, grace: float) -> Server:
    refuse_elsewhere(server)
    if server.running and server.keeper:
        shown.begin("stop")
        resume(server.keeper)
        if orders.send(Path(server.directory), Order(verb="restart", grace=grace)):
            try:
                return _watch(server, shown)
            except KeyboardInterrupt:  # the keeper has the order
                raise InterruptedByUser(
                    f"Stopped waiting; {server.name} goes on restarting.", hint="See `llmserve ps`."
                ) from None
        stop(server, grace=grace, forget=False)
    return _begin(registry.get(server.name), shown)


def _begin(server: Server, shown: Steps) -> Server:
    """A new keeper for a server that has ended."""
    request = saved.load(server)
    with waiting_keeper() as keeper:
        shown.begin("start", f"{server.engine} {server.engine_version}")
        stop(server, grace=0, forget=False)  # a killed keeper may have left workers
        running = again(keeper, request, waiting=lambda words: shown.update("start", detail=words))
        running.detach()
        try:
            return until_ready(running, shown)
        except Terminated:
            raise InterruptedByUser(f"Stopped waiting; {server.name} goes on loading.") from None
        except KeyboardInterrupt:
            running.stop()
            raise


def _watch(before: Server, shown: Steps) -> Server:
    """Follow the record of a server whose keeper starts its engine again."""
    while True:
        server = registry.read(Path(before.directory))
        if server is None:
            raise ServerDiedError(f"{before.name} was stopped by another command.", hint="See `llmserve ps`.")
        if server.life > before.life and server.state == "ready":
            shown.finish("ready")
            return server
        if server.state not in ("starting", "stopping", "ready", "paused"):
            raise _failed(server)
        if server.life > before.life:
            shown.update(serve.STAGES[server.stage or "start"], detail=server.activity)
        time.sleep(_PAUSE)


def _failed(server: Server) -> Exception:
    ending = server.last_ending.failure if server.last_ending else server.error
    if ending is None:
        return ServerDiedError(
            f"{server.name} ended while it was restarted.", hint=f"See `llmserve logs {server.name}`."
        )
    kind = BY_EXIT_CODE.get(ending["exit_code"], ServerDiedError)
    return kind(ending["message"], hint=ending["hint"], code=ending["code"])
