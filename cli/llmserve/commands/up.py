"""``llmserve up``: serve a model, and say when it is ready."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from llmserve import hardware, serve
from llmserve.commands import card, goal_options
from llmserve.commands.ask_token import with_access
from llmserve.commands.options import Json, Quiet
from llmserve.commands.passthrough import PassThroughCommand, engine_args
from llmserve.commands.quick_probe import with_probe
from llmserve.commands.signals import Terminated, terminable
from llmserve.commands.waiting import restarting, until_ready
from llmserve.engine import keys, ports, registry, reservations, systemd
from llmserve.engine.launch import Running, waiting_keeper
from llmserve.errors import InterruptedByUser, UsageError
from llmserve.output import Output
from llmserve.output.steps import Steps, steps
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """Examples:

\b
  llmserve up                          the best model for this machine
  llmserve up llama-3-8b               a model by its name
  llmserve up ./model.gguf -d          a file of yours, in the background
  llmserve up qwen3-8b --dry-run --machine h100
  llmserve up tiny -- --n-predict 64   flags for the engine itself
"""


@app.command(cls=PassThroughCommand, epilog=EXAMPLES)
def up(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A known name, a hub id (org/name), a folder, or a .gguf file."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave the server running, and return once it is ready.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="With -d: return when it is ready, or as soon as it loads.")
    ] = True,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay with the server until it ends (the default; for systemd units).")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and the command; start nothing.")] = False,
    engine: goal_options.Engine = "auto",
    context: goal_options.Context = None,
    concurrency: goal_options.Concurrency = None,
    objective: goal_options.Aim = None,
    gpus: goal_options.Gpus = None,
    kv_dtype: goal_options.KvDtype = None,
    reserve: goal_options.Reserve = None,
    hicache: goal_options.HiCache = None,
    fixed: goal_options.Fixed = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; any but loopback gets a key.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Omitted: 30000 or the next free one; 0: any free one.", min=0, max=65535),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What ps, logs and down call it.")] = None,
    api_key_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with the key to require (-: ask for it). Or set LLMSERVE_API_KEY."),
    ] = None,
    revision: goal_options.Revision = None,
    machine: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="With --dry-run: plan for this profile, e.g. h100x8.")
    ] = None,
    wait_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Seconds to wait for readiness.", min=0.01)
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart/--no-restart", help="Start the engine again when it ends by itself.")
    ] = True,
    retry: Annotated[
        bool, typer.Option("--retry/--no-retry", help="When memory is missing, try once more with one flag changed.")
    ] = True,
    probe: Annotated[
        bool, typer.Option("--probe", help="When it is ready, see in 45 requests whether it is OpenAI-compatible.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result | int:
    """Serve a model: plan, download, launch, and say when it is ready."""
    output: Output = ctx.obj
    goal_options.engine_name(engine)
    goal = goal_options.goal(
        engine=engine, context=context, concurrency=concurrency, objective=objective, gpus=gpus, kv_dtype=kv_dtype,
        reserve=reserve, hicache=hicache, fixed=fixed,
    )  # fmt: skip
    if machine and not dry_run:
        raise UsageError("--machine plans for hardware that is not here.", hint="Add --dry-run.")
    if probe and not wait:
        raise UsageError("--probe needs a server that is ready.", hint="Leave --no-wait out.")
    if foreground and detach:
        raise UsageError("--foreground and --detach exclude each other.", hint="Give one of them.")
    host = ports.numeric(host)
    registry.check_name(name)
    if wait_timeout is not None and not math.isfinite(wait_timeout):
        raise UsageError(
            "--wait-timeout must be a number of seconds.", hint="Leave it out to wait as long as it takes."
        )
    held = {} if machine else reservations.reserved(registry.running())
    order = serve.Order(
        ref=model, engine=engine, goal=goal, host=host, port=port, name=name,
        api_key=keys.api_key(api_key_file, host), timeout=wait_timeout, revision=revision, extra=engine_args(ctx),
        planning=dry_run, restart=restart, retry=retry,
        machine=hardware.load(machine) if machine else reservations.without(hardware.detect(), held),
        reserved=held,
    )  # fmt: skip
    with terminable():
        if dry_run:
            return _dry_run(order, output, profile=bool(machine))
        serve_it = _in_background if detach else _in_foreground
        return with_access(output, lambda: serve_it(order, output, wait=wait, probe=probe), foreground=not detach)


def _dry_run(order: serve.Order, output: Output, *, profile: bool) -> Result:
    with _steps(output, ("resolve", "plan")) as shown:
        prepared = serve.prepare(order, shown)
    port = ports.choose_port(order.host, order.port, reserved=registry.ports())
    launch = serve.command(order, prepared, port=port, path=serve.at_home(prepared))
    return card.dry_run(prepared, launch, profile=order.machine.name if profile else None)


def _in_background(order: serve.Order, output: Output, *, wait: bool, probe: bool) -> Result:
    """Ctrl-C ends what was begun; a terminal that closes does not."""
    with waiting_keeper() as keeper, _steps(output, serve.STEPS) as shown:
        prepared = serve.prepare(order, shown)
        running = serve.run(order, prepared, shown, keeper)
        running.detach()
        if not wait:
            return card.started(running.server)
        try:
            server = until_ready(running, shown)
        except Terminated:
            raise InterruptedByUser(
                f"Stopped waiting; {running.server.name} goes on loading.", hint="See `llmserve ps`."
            ) from None
        except KeyboardInterrupt:
            running.stop()
            raise
    result = card.ready(server, why=prepared.why, asked_port=order.port, detached=True)
    return with_probe(result, server, output) if probe else result


def _in_foreground(order: serve.Order, output: Output, *, wait: bool, probe: bool) -> Result | int:
    with waiting_keeper() as keeper, _steps(output, serve.STEPS) as shown:
        prepared = serve.prepare(order, shown)
        running = serve.run(order, prepared, shown, keeper)
        with running.stopped_on_error():
            server = until_ready(running, shown)
    with running.stopped_on_error():
        systemd.notify("READY=1", f"STATUS=Serving {server.model} at {server.url}")
        result = card.ready(server, why=prepared.why, asked_port=order.port, detached=False)
        output.show(with_probe(result, server, output) if probe else result)
        return _stay(running, output)


def _stay(running: Running, output: Output) -> int:
    """Wait with the server until somebody ends it; a supervisor's SIGTERM is a good end, Ctrl-C is exit code 130."""
    name = running.server.name
    output.note("Ctrl-C stops the server.")
    try:
        for event in running.events():
            _tell(event, name, output)
    except Terminated:
        systemd.notify("STOPPING=1")
        running.stop()
    except KeyboardInterrupt:
        output.note("\nStopping …")
        running.stop()
        raise InterruptedByUser(f"Stopped {name}; nothing is left running.") from None
    return 0


def _tell(event: dict[str, Any], name: str, output: Output) -> None:
    """What happens to a server that was ready, to the terminal and to systemd."""
    if event["event"] == "restarting":
        said = restarting(event, name)
        output.note(said)
        systemd.notify(f"STATUS={said}")
    elif event["event"] == "ready":
        output.note(f"{name} is ready again.")
        systemd.notify(f"STATUS=Serving {event['server']['model']} at {event['server']['url']}")


def _steps(output: Output, names: tuple[str, ...]) -> Steps:
    return steps(names, output.err, mode=output.mode, interactive=output.interactive)
