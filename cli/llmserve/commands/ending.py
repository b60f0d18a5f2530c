"""Ending servers, for ``stop`` and ``down``: what became of the answers that were running."""

from __future__ import annotations

from typing import Annotated

import typer

from llmserve.engine import orders
from llmserve.engine.server import Drained, Server
from llmserve.engine.stop import stop
from llmserve.errors import InterruptedByUser
from llmserve.output import Output
from llmserve.output.text import duration, printable

Grace = Annotated[
    float,
    typer.Option("--grace", "-t", metavar="SECONDS", help="Seconds that running answers have to finish.", min=0),
]
GRACE = orders.GRACE


def end(server: Server, output: Output, *, grace: float, forget: bool) -> Drained | None:
    """Stop ``server``, and say whom it waits for."""

    def told(stopping: Server) -> None:
        if stopping.drained and stopping.drained.running and grace:
            output.note(f"{server.name} has up to {duration(grace)} to finish {_answers(stopping.drained.running)} …")

    try:
        return stop(server, grace=grace, forget=forget, told=told)
    except KeyboardInterrupt:
        raise InterruptedByUser(
            f"Stopped waiting; {server.name} goes on stopping.",
            hint=f"End it now: `llmserve down --grace 0 {server.name}`.",
        ) from None


def sentence(name: str, drained: Drained | None) -> str:
    """``Stopped tiny: 2 answers finished, 1 was cut after 10 s.``"""
    if drained is None or not drained.running:
        return f"Stopped {name}."
    if drained.cut is None or drained.finished is None:
        return f"Stopped {name}: {_answers(drained.running)} had {duration(drained.grace)} to finish."
    ends = [f"{_answers(drained.finished)} finished"] if drained.finished else []
    ends += [f"{_answers(drained.cut)} cut after {duration(drained.grace)}"] if drained.cut else []
    who = f" Connected then: {', '.join(map(printable, drained.clients))}." if drained.clients else ""
    return f"Stopped {name}: {', '.join(ends)}.{who}"


def figures(drained: Drained | None) -> dict[str, object]:
    """The same for ``--json``; None where it is not known."""
    if drained is None:
        return {"running": None, "finished": None, "cut": None, "clients": []}
    return {
        "running": drained.running,
        "finished": drained.finished,
        "cut": drained.cut,
        "clients": list(drained.clients),
    }


def _answers(count: int) -> str:
    return f"{count} answer{'s' * (count != 1)}"
