"""``llmserve pull``: fetch a model's files without serving it."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmserve import models
from llmserve.commands import fetch_table, pull_source
from llmserve.commands.ask_token import with_access
from llmserve.commands.options import Json, Quiet
from llmserve.commands.pull_source import Chosen
from llmserve.commands.signals import terminable
from llmserve.errors import InterruptedByUser, LlmserveError, UsageError
from llmserve.models.hub import planning, rates
from llmserve.models.hub.fetch import bring, check_room, in_place
from llmserve.models.hub.selection import Filter
from llmserve.output import Output
from llmserve.output.ledger import Look
from llmserve.output.text import duration, gib
from llmserve.output.transfer import Transfer, view
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.models.hub.plan import FetchPlan

ASKED = 10_000_000_000
"""A download of more bytes than this is asked for, once, where somebody can answer."""

EXAMPLES = """Examples:

\b
  llmserve pull qwen3-8b                      what `up` would need on this machine
  llmserve pull qwen3-8b --dry-run            what comes, what is left out, and why
  llmserve pull qwen3-8b --quant Q8_0         one GGUF file
  llmserve pull org/name --exclude '*.jinja'
  llmserve pull qwen3-8b --to /media/usb/qwen3-8b     then there: llmserve up DIR
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=EXAMPLES)
def pull(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A known name, or a hub id (org/name).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be fetched; fetch nothing.")] = False,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only files that match. May be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="No files that match. May be repeated.")
    ] = None,
    revision: Annotated[str | None, typer.Option(metavar="REV", help="Branch, tag or commit on the hub.")] = None,
    quant: Annotated[str | None, typer.Option(metavar="NAME", help="A GGUF quantisation, such as Q4_K_M.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="safetensors or gguf. Omitted: as `up` chooses.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Into a plain folder, e.g. for a machine without a network.")
    ] = None,
    code: Annotated[bool, typer.Option("--code", help="Python files of the model's authors too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a large download.")] = False,
    progress: Annotated[
        str | None, typer.Option(metavar="KIND", help="json: one JSON event per line on stderr.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Fetch a model's files, whole and verified, without serving it.

    Run again, it fetches what is missing and nothing else. Files go to the cache that all hub tools share.
    """
    output: Output = ctx.obj
    if progress not in (None, "json"):
        raise UsageError(f"There is no progress {progress!r}.", hint="Use --progress json, or leave it out.")
    chosen = pull_source.choose(model, quant=quant, form=form, revision=revision)
    if chosen.source.repo is None:
        return _at_home(chosen, to=to, dry_run=dry_run)
    wish = Filter(include=tuple(include or ()), exclude=tuple(exclude or ()), code=code)
    with terminable():
        return _pull(chosen, wish, to, output, dry_run=dry_run, yes=yes, events=progress == "json")


def _pull(
    chosen: Chosen, wish: Filter, to: Path | None, output: Output, *, dry_run: bool, yes: bool, events: bool
) -> Result:
    plan, stale = with_access(output, lambda: _plan(chosen, wish, to))
    rate = rates.expected(models.hub_url())
    messages = (f"{stale.message} All of it is in the cache.",) if stale else ()
    if dry_run:
        return _planned(plan, rate, messages)
    check_room(plan)
    if plan.room_bytes:
        output.note(fetch_table.table(plan, Look.of(output.err), rate=rate) + "\n")
        _ask(plan, output, yes=yes)
    begun = time.monotonic()
    with_access(output, lambda: _fetch(plan, output, events=events))
    return _done(chosen, plan, time.monotonic() - begun, messages)


def _plan(chosen: Chosen, wish: Filter, to: Path | None) -> tuple[FetchPlan, LlmserveError | None]:
    to = to and to.expanduser().absolute()
    if found := planning.current_plan(chosen.source, wish, to):
        return found, None
    from llmserve.models.hub.api import Hub

    with closing(Hub(patient=True)) as hub:
        return planning.plan_or_cached(hub, chosen.source, wish, to)


def _fetch(plan: FetchPlan, output: Output, *, events: bool) -> None:
    with view(output.err, mode=output.mode, interactive=output.interactive, as_json=events) as shown:
        shown.say("plan", fetch_table.data(plan))
        try:
            if not in_place(plan):
                _bring(plan, shown)
        except KeyboardInterrupt:
            raise InterruptedByUser(
                "Interrupted. What has been fetched is kept.", hint="Run the same command again: it goes on from there."
            ) from None
        except LlmserveError as error:
            shown.say("error", error.as_dict())
            raise
        shown.say("done", {"path": str(plan.folder), "fetched_bytes": plan.missing_bytes})


def _bring(plan: FetchPlan, shown: Transfer) -> None:
    from llmserve.models.hub.api import Hub

    with closing(Hub(patient=True)) as hub:
        bring(hub, plan, shown)


def _ask(plan: FetchPlan, output: Output, *, yes: bool) -> None:
    """Large downloads are asked for where somebody can answer."""
    if yes or plan.missing_bytes <= ASKED or not (output.interactive and sys.stdin.isatty()):
        return
    question = f"Fetch {gib(plan.missing_bytes)} to {fetch_table.home(fetch_table.place(plan))}?"
    if not typer.confirm(question, default=True, err=True):
        raise InterruptedByUser("Nothing was fetched.")


def _planned(plan: FetchPlan, rate: float | None, messages: tuple[str, ...]) -> Result:
    """What a dry run shows; a disk that is too small is said beside the plan."""
    error: LlmserveError | None = None
    try:
        check_room(plan)
    except LlmserveError as refusal:
        error = refusal
    return Result(
        data={"plan": fetch_table.data(plan, rate=rate)},
        human=fetch_table.table(plan, Look.of(sys.stdout), rate=rate),
        quiet="\n".join(file.name for file in plan.files if file.missing_bytes),
        messages=messages,
        error=error,
        exit_code=error.exit_code if error else 0,
    )


def _done(chosen: Chosen, plan: FetchPlan, seconds: float, messages: tuple[str, ...]) -> Result:
    command = pull_source.command(chosen, plan)
    path = plan.folder / plan.files[0].name if chosen.source.format == "gguf" and not plan.plain else plan.folder
    fetched = plan.missing_bytes
    speed = f" in {duration(seconds)}, {gib(fetched / seconds)}/s" if fetched and seconds > 0 else ""
    came = f"{fetch_table.size(fetched)} fetched{speed}" if fetched else "nothing had to be fetched"
    serve = f"Serve it: {command}" if command else "Files that serving needs were left out."
    return Result(
        data={
            "plan": fetch_table.data(plan),
            "path": str(path),
            "seconds": round(seconds, 3),
            "fetched_bytes": fetched,
            "rate_bytes_per_s": round(fetched / seconds) if fetched and seconds > 0 else None,
            "command": command,
        },
        human=f"{plan.repo} is complete: {len(plan.files)} files, {fetch_table.size(plan.total_bytes)}; {came}.\n"
        f"It is in {fetch_table.home(path)}\n{serve}",
        quiet=str(path),
        messages=messages,
    )


def _at_home(chosen: Chosen, *, to: Path | None, dry_run: bool) -> Result:
    """Models that come from no hub: files of the user's, and the built-in one, which is made."""
    candidate, source = chosen.candidate, chosen.source
    if to is not None:
        what = "is made on each machine" if source.builtin else "is on this disk"
        raise UsageError(f"{candidate.name} {what}: --to has nothing to fetch.", hint="Copy its folder, if you like.")
    model = models.describe(candidate, source.format)
    path = str(model.path if dry_run else models.fetch(model))
    state = "is made on this machine" if source.builtin else "is on this disk"
    return Result(
        data={"plan": None, "path": path, "seconds": 0.0, "fetched_bytes": 0, "rate_bytes_per_s": None,
              "command": shlex.join(["llmserve", "up", candidate.ref])},
        human=f"{candidate.name} {state}: nothing has to be fetched.\nIt is in {fetch_table.home(Path(path))}\n"
        f"Serve it: {shlex.join(['llmserve', 'up', candidate.ref])}",
        quiet=path,
    )  # fmt: skip
