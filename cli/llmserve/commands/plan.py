"""``llmserve plan``: what fits, with which settings and why, before one byte of weights is fetched."""

from __future__ import annotations

import json as json_text
import os
from dataclasses import replace
from typing import Annotated, TextIO

import typer

from llmserve import hardware, paths
from llmserve.commands import goal_options as options
from llmserve.commands import plan_cases, plan_results
from llmserve.commands.options import Json, Quiet
from llmserve.errors import UsageError
from llmserve.hardware.machine import Machine
from llmserve.output.ledger import Look
from llmserve.plan import published
from llmserve.result import Result

EXAMPLES = """Examples:

\b
  llmserve plan qwen3-8b                           on this machine
  llmserve plan llama-3.3-70b --machine h100x2     on hardware you do not have
  llmserve plan qwen3-32b --context 32k --concurrency 16 --explain
  llmserve plan qwen3-8b qwen3-32b --machine l4 --machine h100 --compare
  llmserve plan org/name --check && echo "it fits"
  llmserve plan qwen3-8b --fixed mem_fraction_static=0.88 --fixed tp=2
  llmserve plan --history                          what earlier plans were worth
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=EXAMPLES)
def plan(
    ctx: typer.Context,
    model: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL...", help="Known names, hub ids, folders, or .gguf files.")
    ] = None,
    machine: Annotated[
        list[str] | None,
        typer.Option(metavar="PROFILE|FILE", help="Plan for this hardware instead: h100x8, or a saved file."),
    ] = None,
    engine: options.Engine = "auto",
    context: options.Context = None,
    concurrency: options.Concurrency = None,
    objective: options.Aim = None,
    gpus: options.Gpus = None,
    kv_dtype: options.KvDtype = None,
    reserve: options.Reserve = None,
    hicache: options.HiCache = None,
    fixed: options.Fixed = None,
    nodes: options.Nodes = 1,
    revision: options.Revision = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the arithmetic with its numbers.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Several models or machines side by side.")] = False,
    check: Annotated[bool, typer.Option("--check", help="One line; exit code 0 if it fits, 3 if not.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Earlier predictions and what came of them.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of --json's data.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Plan a model's service: what fits, for how many users, with which settings. Downloads no weights.

    Ends with exit code 3 if it does not fit. Sizes such as 32k are multiples of 1,024 tokens.
    """
    if schema or history:
        return _schema() if schema else _history(ctx.obj.out)
    options.engine_name(engine)
    goal = options.goal(
        engine=engine, context=context, concurrency=concurrency, objective=objective, gpus=gpus, kv_dtype=kv_dtype,
        reserve=reserve, hicache=hicache, fixed=fixed, nodes=nodes,
    )  # fmt: skip
    refs, profiles = model or [], machine or []
    _check_shape(refs, profiles, revision=revision, several=compare or check)
    machines = _machines(profiles)
    cases = [
        case for ref in refs for case in plan_cases.cases(ref, machines, engine=engine, goal=goal, revision=revision)
    ]
    look = Look.of(ctx.obj.out)
    if check:
        return plan_results.checked(cases)
    return plan_results.compared(cases, look) if compare else plan_results.shown(cases[0], look, arithmetic=explain)


def _check_shape(refs: list[str], profiles: list[str], *, revision: str | None, several: bool) -> None:
    if not refs:
        raise UsageError("No model was named.", hint="Try: llmserve plan qwen3-8b (names: `llmserve models`)")
    if len(refs) * max(1, len(profiles)) > 1 and not several:
        hint = "Add --compare to see them side by side, or --check."
        raise UsageError(f"{len(refs) * max(1, len(profiles))} plans were asked for at once.", hint=hint)
    if revision and len(refs) > 1:
        raise UsageError("--revision can mean one model only.", hint="Name one MODEL, or leave --revision out.")


def _machines(profiles: list[str]) -> list[Machine]:
    """The hardware to plan for; files that describe machines of one name are told apart by their own."""
    if not profiles:
        return [hardware.detect()]
    found = [hardware.load(profile) for profile in profiles]
    names = [machine.name for machine in found]
    return [
        machine if names.count(machine.name) == 1 else replace(machine, name=profile)
        for profile, machine in zip(profiles, found, strict=True)
    ]


def _schema() -> Result:
    text = (paths.templates_dir() / "schemas" / f"plan-{published.SCHEMA_VERSION}.json").read_text(encoding="utf-8")
    return Result(data=json_text.loads(text), human=text, quiet=text)


def _history(out: TextIO) -> Result:
    """A table for files and pipes, whatever its width; what fits for terminals."""
    import shutil

    from llmserve.commands.history_table import table

    if not (out.isatty() or "COLUMNS" in os.environ):
        return table()
    return table(look=replace(Look.of(out), width=max(24, shutil.get_terminal_size().columns)))
