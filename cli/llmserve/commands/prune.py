"""``llmserve prune``: remove the models that nobody has used for long."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from llmserve.commands import cached_models
from llmserve.commands.options import Json, Quiet
from llmserve.engine import registry
from llmserve.errors import UsageError
from llmserve.models import house, removal
from llmserve.models.house import Entry
from llmserve.models.removal import Removal
from llmserve.output import Output
from llmserve.output.text import gib
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """Examples:

\b
  llmserve prune --older-than 30d --dry-run
  llmserve prune --older-than 4w -y
  llmserve prune --partial             what unfinished downloads left
"""

NOTHING = "There is nothing to remove."
_NO_TIMES = "This file system does not note when files are read: last use means the time of the download."


@app.command(epilog=EXAMPLES)
def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Models that were last used so long ago: 30d, 12h, 4w.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Only what unfinished downloads left.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Remove models by their last use; never what a server uses or what is being fetched.

    Data sets and spaces that other tools keep in the same cache are left alone.
    """
    if older_than is None and not partial:
        raise UsageError("Nothing says what may go.", hint="Add --older-than 30d, or --partial.")
    seconds = cached_models.age(older_than, "--older-than") if older_than is not None else None
    output = ctx.find_object(Output) or Output()
    chosen, kept = _chosen(seconds, partial=partial)
    if chosen and not dry_run:
        if not yes:
            cached_models.confirm(output, chosen)
        cached_models.remove(chosen)
    freed = sum(one.freed_bytes for one in chosen)
    verb = "would be" if dry_run else "were"
    notes = [f"{', '.join(kept)} stays: in use." if len(kept) == 1 else f"In use, so they stay: {', '.join(kept)}."]
    notes = [*(notes if kept else ()), *((_NO_TIMES,) if seconds is not None and not house.times_are_kept() else ())]
    return Result(
        data={
            "dry_run": dry_run,
            "removed": [{"repo": one.entry.repo, "what": one.what, "freed_bytes": one.freed_bytes} for one in chosen],
            "freed_bytes": freed,
            "in_use": kept,
        },
        human=f"{cached_models.table(chosen)}\n\n{gib(freed)} {verb} freed." if chosen else NOTHING,
        quiet="\n".join(one.entry.repo for one in chosen),
        messages=tuple(notes),
    )


def _chosen(seconds: float | None, *, partial: bool) -> tuple[list[Removal], list[str]]:
    """What goes, the longest unused first, and the names of what would go if nobody used it."""
    before = time.time() - seconds if seconds is not None else None
    servers = registry.running()
    chosen: list[Removal] = []
    kept: list[str] = []
    for entry in sorted(cached_models.entries(), key=lambda entry: entry.last_used):
        one = removal.unfinished(entry, before=before) if partial else _old(entry, before)
        if one is None:
            continue
        if cached_models.users(entry, servers) or removal.being_fetched(entry):
            kept.append(entry.repo)
        else:
            chosen.append(one)
    return chosen, kept


def _old(entry: Entry, before: float | None) -> Removal | None:
    return removal.everything(entry) if before is not None and entry.last_used < before else None
