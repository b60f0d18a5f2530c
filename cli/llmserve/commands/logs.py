"""``llmserve logs``: what a server printed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from llmserve.commands.options import Json
from llmserve.engine import registry
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
"""


@app.command(epilog=EXAMPLES)
def logs(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Server; omitted: the newest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C or the server's end.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", "-n", help="Only the last lines.", min=0)] = None,
    json: Json = False,
) -> Result | int:
    """Show what a server printed, also of one that failed."""
    output: Output = ctx.obj
    server = registry.get(name) if name else _newest()
    if not follow:
        text = _last(server.log, tail)
        return Result(data={"server": server.name, "lines": text}, human="\n".join(text))
    _follow(output, server, tail)
    return 0


def _newest() -> Server:
    known = registry.servers()
    if not known:
        raise UsageError("There is no server.", hint="Start one with `llmserve up`.")
    return known[0]


def _last(path: Path, tail: int | None) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [printable(line.rstrip("\n")) for line in deque(file, maxlen=tail)]
    except FileNotFoundError:
        return []


def _follow(output: Output, server: Server, tail: int | None) -> None:
    """Ctrl-C here ends the watching, not the server: so it is a good end."""
    try:
        for line in _growing(server, tail):
            output.out.write(printable(line))
            output.out.flush()
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # `llmserve logs -f | head`; Typer would make an error of it
        output.closed()


def _growing(server: Server, tail: int | None) -> Iterator[str]:
    with server.log.open(encoding="utf-8", errors="replace") as file:
        yield from deque(file, maxlen=tail)
        while True:
            if line := file.readline():
                yield line
                continue
            current = registry.read(Path(server.directory))
            if current is None or not current.running:
                yield from file
                return
            time.sleep(_PAUSE)
