"""``llmserve export``: today's plan, as files for the systems that run servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmserve import hardware, serve
from llmserve.commands import goal_options
from llmserve.commands.options import Json, Quiet
from llmserve.errors import UsageError
from llmserve.output import Output
from llmserve.output.steps import steps
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.deploy.deployment import Deployment, Files
    from llmserve.deploy.targets import Entry
    from llmserve.deploy.writing import Change

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """Examples:

\b
  llmserve export systemd qwen3-8b                     a hardened unit for this machine
  llmserve export compose llama-3.1-8b --machine h100  for hardware that you do not have here
  llmserve export kubernetes deepseek-v3 --machine h100x8 --nodes 2 --out deepseek
  llmserve export slurm llama-3.3-70b --machine h100x8 --stdout

The plan is the one that `llmserve plan` shows for the same options. Keys are made once, into files that only you can
read; they are never shown and never replaced."""


@app.command(epilog=EXAMPLES)
def export(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="systemd, compose, kubernetes, slurm or skypilot.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A known name, a hub id, a folder, or a .gguf file.")],
    machine: Annotated[
        str | None, typer.Option(metavar="PROFILE|FILE", help="Plan for this hardware, e.g. h100x8; else this machine.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder; else TARGET-NAME.")] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print the files, without keys; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace files that differ.")] = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What the deployment is called.")] = None,
    port: Annotated[int, typer.Option(metavar="PORT", help="Where it listens.", min=1, max=65535)] = 30000,
    engine: goal_options.Engine = "auto",
    context: goal_options.Context = None,
    concurrency: goal_options.Concurrency = None,
    objective: goal_options.Aim = None,
    gpus: goal_options.Gpus = None,
    kv_dtype: goal_options.KvDtype = None,
    reserve: goal_options.Reserve = None,
    hicache: goal_options.HiCache = None,
    fixed: goal_options.Fixed = None,
    nodes: goal_options.Nodes = 1,
    revision: goal_options.Revision = None,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Write a plan as files for systemd, compose, Kubernetes, Slurm or SkyPilot. Starts nothing."""
    output: Output = ctx.obj
    entry = _entry(target)
    goal_options.engine_name(engine)
    goal = goal_options.goal(
        engine=engine, context=context, concurrency=concurrency, objective=objective, gpus=gpus, kv_dtype=kv_dtype,
        reserve=reserve, hicache=hicache, fixed=fixed, nodes=nodes,
    )  # fmt: skip
    order = serve.Order(
        ref=model, engine=engine, goal=goal, host="0.0.0.0" if entry.reached else "127.0.0.1",  # noqa: S104 - with a key
        port=port, name=name, api_key=None, timeout=None, revision=revision, planning=True,
        machine=hardware.load(machine) if machine else hardware.detect(),
    )  # fmt: skip
    with steps(("resolve", "plan"), output.err, mode=output.mode, interactive=output.interactive) as shown:
        prepared = serve.prepare(order, shown)
    from llmserve.deploy import making

    deployment = making.deployment(order, prepared, container=entry.container)
    files = entry.render(deployment)
    if stdout:
        return _printed(files)
    return _written(files, out or Path(f"{target}-{deployment.name}"), deployment, entry, force=force)


def _entry(target: str) -> Entry:
    from llmserve.deploy.targets import TARGETS

    if target not in TARGETS:
        raise UsageError(f"There is no target {target!r}.", hint=f"Targets: {', '.join(TARGETS)}.", code="no_target")
    return TARGETS[target]


def _printed(files: Files) -> Result:
    shown = {name: file.text for name, file in files.items() if not file.secret}
    text = "\n".join(f"# --- {name}\n{body}" for name, body in shown.items())
    only = next(iter(shown.values())) if len(shown) == 1 else text
    return Result(data={"files": shown}, human=only, quiet=only)


def _written(files: Files, folder: Path, deployment: Deployment, entry: Entry, *, force: bool) -> Result:
    from llmserve.deploy import writing

    found = writing.changes(files, folder)
    differs = [change for change in found if change.kind == "differs"]
    if differs and not force:
        return _refused(differs, folder)
    writing.write(files, found, folder)
    plan = deployment.plan
    lines = [f"  {_WORDS[change.kind]:<9} {folder / change.name}" for change in found]
    gpus = f"{deployment.gpus} x {deployment.gpu_name}" if plan.gpus else "the CPU"
    title = f"{deployment.model} for {gpus}" + (f" on {plan.nodes} nodes" if plan.nodes > 1 else "")
    then = f"Next: {entry.then.format(folder)}"
    return Result(
        data={"folder": str(folder), "files": _data(found), "flags": [flag.name for flag in plan.flags]},
        title=title, human="\n".join(lines), quiet=str(folder), messages=(then,),
    )  # fmt: skip


_WORDS = {"new": "written", "differs": "replaced", "same": "unchanged", "kept": "kept"}


def _data(found: list[Change]) -> list[dict[str, Any]]:
    return [{"name": change.name, "change": change.kind} for change in found]


def _refused(differs: list[Change], folder: Path) -> Result:
    names = ", ".join(change.name for change in differs)
    error = UsageError(
        f"Files in {folder} differ from what would be written: {names}.",
        hint="Nothing was written. Replace them with --force, or choose another folder with --out DIR.",
        code="files_differ",
    )
    return Result(
        data={"folder": str(folder), "differs": [{"name": one.name, "diff": one.diff} for one in differs]},
        human="\n".join(change.diff for change in differs), exit_code=error.exit_code, error=error,
    )  # fmt: skip
