"""``llmserve top``: watch servers at work."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from llmserve.commands.endpoint_options import ApiKey, BaseUrl, Header, Profile
from llmserve.commands.endpoint_options import endpoint as find_endpoint
from llmserve.commands.options import Json
from llmserve.errors import UsageError
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.engine.server import Server
    from llmserve.output import Output
    from llmserve.top.watch import Watch
    from llmserve.top.watched import Target

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_PATIENCE = 10.0
"""Seconds for an answer where only one look is asked for."""

EXAMPLES = """Examples:

\b
  llmserve top                                   all servers of this machine
  llmserve top tiny
  llmserve top --base-url http://gpu-box:8000    any SGLang, vLLM or llama.cpp with /metrics
  llmserve top --once                            one look, as text
  llmserve top --json | jq .data.servers[0].metrics
"""


@app.command(epilog=EXAMPLES)
def top(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Servers of `llmserve ps`; omitted: all.")] = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    profile: Profile = None,
    header: Header = None,
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.1, max=3600, metavar="SECONDS", help="Between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and leave.")] = False,
    json: Json = False,
) -> Result | int:
    """Watch servers at work: requests, tokens per second, latencies, caches, GPUs.

    Figures come from the engine's own /metrics. --once and --json look twice, an interval apart, for there is no rate
    without two looks.
    """
    output: Output = ctx.obj
    if not math.isfinite(interval):
        raise UsageError("--interval must be a number of seconds.")
    if names and (base_url or profile):
        raise UsageError("A server's name and --base-url name two things to watch.", hint="Give one of them.")

    from llmserve.top.gpus import gpus
    from llmserve.top.watch import Watch

    local = bool(names) or not (base_url or profile or _elsewhere())
    targets = _local(names or []) if local else _remote(base_url, api_key, profile, header)
    with gpus() as cards:
        watch = Watch(targets, cards, interval, patient=local)
        if once or output.mode == "json":
            watch.patience = _PATIENCE
            return _once(watch)
        return _watch(watch, output)


def _once(watch: Watch) -> Result:
    from llmserve.output.ledger import Look
    from llmserve.top.view import Style

    watch.twice()
    fault = watch.fault
    if fault and len(watch.servers) == 1:
        raise fault
    width = shutil.get_terminal_size().columns
    text = "\n".join(watch.lines(Style(width, unicode=Look.of(sys.stdout).unicode)))
    return Result(data=watch.data(), human=text, exit_code=int(bool(fault)), error=fault)


def _watch(watch: Watch, output: Output) -> int:
    """Ctrl-C ends the watching and is a good end, as in `logs -f`."""
    from llmserve.output.ledger import Look
    from llmserve.top.watch import draw, follow

    try:
        watch.look()
        if not watch.patient and (fault := watch.fault):
            raise fault  # an address that never answered is a mistake; one that stops answering is watched on
        if output.interactive and output.out.isatty():
            draw(watch, output.out, unicode=Look.of(output.out).unicode)
        else:
            follow(watch, output.out)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        return output.closed()
    output.note("There is no server left to watch.")
    return 0


def _elsewhere() -> bool:
    """Whether the environment names an endpoint, and no server runs here that would be meant first."""
    from llmserve.engine import registry

    return bool(os.environ.get("OPENAI_BASE_URL")) and not registry.running()


def _remote(
    base_url: str | None, api_key: str | None, profile: str | None, header: Sequence[str] | None
) -> Callable[[], list[Target]]:
    from llmserve.top.watched import Target

    found = find_endpoint(base_url, api_key, None, None, profile=profile, header=header)
    target = Target(name=profile or found.base_url, url=found.base_url, endpoint=lambda: found)
    return lambda: [target]


def _local(names: Sequence[str]) -> Callable[[], list[Target]]:
    from llmserve.engine import registry

    for name in names:
        registry.get(name)  # an unknown name is an error now, and no end of the watching later
    if not registry.running():
        raise UsageError(
            "No server is running here.", hint="Start one with `llmserve up`, or name one with --base-url URL.",
            code="no_endpoint",
        )  # fmt: skip
    return lambda: [_target(server) for server in reversed(registry.running()) if not names or server.name in names]


def _target(server: Server) -> Target:
    from llmserve.top.watched import Target

    state = f"{server.state} ({server.stage})" if server.state == "starting" and server.stage else server.state
    return Target(
        name=server.name,
        url=server.url,
        endpoint=lambda: find_endpoint(None, None, None, server.name),
        engine=server.engine,
        state=state,
        uptime=server.uptime,
        gpus=server.plan.uuids,
    )
