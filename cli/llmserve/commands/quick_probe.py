"""The quick probe of a server that has just become ready: one line for its closing card."""

from __future__ import annotations

from dataclasses import replace

from llmserve.engine.server import Server
from llmserve.errors import LlmserveError
from llmserve.output import Output
from llmserve.result import Result

__all__ = ["with_probe"]


def with_probe(result: Result, server: Server, output: Output) -> Result:
    """``result`` with what ``llmserve probe --quick`` found. A probe that cannot be made is said, and no failure."""
    output.note("Probing it …")
    try:
        record = _record(server)
    except LlmserveError as error:
        return replace(result, messages=(*result.messages, f"The probe was not made: {error.message}"))
    from llmserve.probe.report.text import one_line

    row = f"  {'Probe':<10} {one_line(record)} (all of it: llmserve probe --server {server.name})"
    head, gap, rest = result.human.partition("\n\n")
    short = {name: record[name] for name in ("verdicts", "drop_in", "areas", "clients")}
    return replace(result, human=f"{head}\n{row}{gap}{rest}", data=result.data | {"probe": short})


def _record(server: Server) -> dict[str, object]:
    from llmserve.endpoint.find import find
    from llmserve.probe.probing import probe
    from llmserve.probe.selection import select
    from llmserve.probe.settings import Settings

    settings = Settings(quick=True, skip=("sdk",), concurrency=4)
    return probe(find(server=server.name, running=lambda: [server]), select(settings), settings)
