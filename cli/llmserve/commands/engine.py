"""``llmserve engine``: install, list and remove inference engines."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

import typer

from llmserve.commands.options import Json, Quiet
from llmserve.engine import environments, recipes
from llmserve.engine.environments import Managed
from llmserve.errors import UsageError
from llmserve.output import Output
from llmserve.output.text import columns, duration, gib
from llmserve.result import Result

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

INSTALL_EXAMPLES = """Examples:

\b
  llmserve engine install llamacpp            34 MB, for GGUF weights
  llmserve engine install sglang              for the GPU if there is one, else for the CPU
  llmserve engine install sglang --device cpu

pip does the work, with your own pip configuration. CPU builds of torch come from PyTorch's index unless pip knows
another place; LLMSERVE_TORCH_INDEX names one.
"""

LIST_EXAMPLES = """Examples:

\b
  llmserve engine list
  llmserve engine list --json
"""

REMOVE_EXAMPLES = """Examples:

\b
  llmserve engine remove sglang
  llmserve engine remove sglang-0.5.23-cpu-py311-0123456789 -y
"""


@app.callback()
def _engine() -> None:
    """Install, list and remove inference engines."""


@app.command(epilog=INSTALL_EXAMPLES)
def install(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ENGINE", help="sglang or llamacpp.")],
    device: Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="What it shall run on.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Build it anew even if it is installed.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Install an engine into an environment of its own."""
    from llmserve.engine.install import install as build

    recipe = recipes.recipe(name, None if device == "auto" else device)
    item, built = build(recipe, _output(ctx).note, force=force)
    return Result(
        data={"environment": _shown(item), "built": built},
        human=_sentence(item, built),
        quiet=str(item.path),
    )


@app.command("list", epilog=LIST_EXAMPLES)
def list_(ctx: typer.Context, json: Json = False, quiet: Quiet = False) -> Result:
    """List the engines that this machine has."""
    environments.tidy()
    rows = [_shown(item) for item in environments.managed()] + _importable()
    table = [
        (row["engine"], row["version"], row["device"], _size(row["size_bytes"]), row["kind"], row["path"])
        for row in rows
    ]
    header = ("ENGINE", "VERSION", "DEVICE", "SIZE", "KIND", "PATH")
    return Result(
        data={"environments": rows},
        human=columns(header, table) if rows else "No engine is installed. Try: llmserve engine install llamacpp",
        quiet="\n".join(row["path"] for row in rows),
    )


@app.command(epilog=REMOVE_EXAMPLES)
def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An engine (all its environments) or one environment.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Remove an engine's environments that llmserve built."""
    output = _output(ctx)
    items = _chosen(name)
    for item in items:
        environments.refuse_if_used(item)
    freed = sum(item.manifest.size_bytes for item in items)
    if not yes:
        _confirm(output, items, freed)
    with environments.locked(lambda: output.note("Another llmserve is installing an engine; waiting for it.")):
        for item in items:
            environments.remove(item)
    names = [item.path.name for item in items]
    return Result(
        data={"removed": names, "freed_bytes": freed},
        human=f"Removed {', '.join(names)}: {gib(freed)} freed.",
        quiet="\n".join(names),
    )


def _output(ctx: typer.Context) -> Output:
    return ctx.find_object(Output) or Output()


def _chosen(name: str) -> list[Managed]:
    """The environments of the engine called ``name``, or the one environment of that name."""
    known = environments.managed()
    chosen = [item for item in known if name in (item.manifest.engine, item.path.name)]
    if chosen:
        return chosen
    if name in recipes.names():
        raise UsageError(
            f"llmserve has not installed {name}.", hint="See `llmserve engine list`.", code="not_installed"
        )
    near = difflib.get_close_matches(name, [*recipes.names(), *(item.path.name for item in known)], n=1)
    hint = f"Did you mean {near[0]}?" if near else "See `llmserve engine list`."
    raise UsageError(f"There is no engine or environment called {name!r}.", hint=hint, code="unknown_engine")


def _confirm(output: Output, items: list[Managed], freed: int) -> None:
    names = ", ".join(item.path.name for item in items)
    if not output.interactive:
        raise UsageError(f"Removing {names} needs a yes.", hint="Add -y.")
    typer.confirm(f"Remove {names} ({gib(freed)})?", abort=True, err=True)


def _sentence(item: Managed, built: bool) -> str:
    manifest = item.manifest
    what = f"{manifest.engine} {manifest.version} for the {manifest.device.upper()}"
    if not built:
        return f"{what} is already installed: {item.path}"
    return f"Installed {what} in {duration(manifest.seconds)}, {gib(manifest.size_bytes)}: {item.path}"


def _shown(item: Managed) -> dict[str, Any]:
    manifest = item.manifest
    return {
        "name": item.path.name,
        "engine": manifest.engine,
        "version": manifest.version,
        "device": manifest.device,
        "kind": "managed",
        "size_bytes": manifest.size_bytes,
        "path": str(item.path),
        "python": str(item.python),
        "created": manifest.created,
        "seconds": manifest.seconds,
    }


def _importable() -> list[dict[str, Any]]:
    """Engines that the interpreter of llmserve itself can import."""
    found = (environments.current(engine, distribution=name, module=name) for engine, name in recipes.MODULES.items())
    return [
        {
            "name": None,
            "engine": item.engine,
            "version": item.version,
            "device": item.device,
            "kind": "current",
            "size_bytes": None,
            "path": item.python,
            "python": item.python,
            "created": None,
            "seconds": None,
        }
        for item in found
        if item
    ]


def _size(size: int | None) -> str:
    return "-" if size is None else gib(size)
