"""``llmserve rm``: remove models from this disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from llmserve.commands import cached_models
from llmserve.commands.options import Json, Quiet
from llmserve.engine import registry
from llmserve.errors import LlmserveError, UsageError
from llmserve.models import removal
from llmserve.models.removal import Removal
from llmserve.output import Output
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """Examples:

\b
  llmserve rm Qwen/Qwen3-8B
  llmserve rm unsloth/Qwen3-8B-GGUF:Q8_0      one quantisation of several
  llmserve rm org/name --revision v1.0        what other revisions need stays
  llmserve rm org/one org/two -y
"""


@app.command(epilog=EXAMPLES)
def rm(
    ctx: typer.Context,
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="As `llmserve ls` names them.")],
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Only this branch, tag or commit of one model.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Even if a running server uses it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Remove models from this disk, unfinished downloads included."""
    if revision and len(models) > 1:
        raise UsageError("--revision is of one model.", hint="Name one model.")
    removals = _removals(models, revision)
    if not force:
        for one in removals:
            _refuse_used(one)
    if not yes:
        cached_models.confirm(ctx.find_object(Output) or Output(), removals)
    said = cached_models.remove(removals)
    return Result(
        data={
            "removed": [{"repo": one.entry.repo, "what": one.what, "freed_bytes": one.freed_bytes} for one in removals],
            "freed_bytes": sum(one.freed_bytes for one in removals),
        },
        human=said,
        quiet="\n".join(one.entry.repo for one in removals),
    )


def _removals(refs: Sequence[str], revision: str | None) -> list[Removal]:
    """All names are looked up before anything is removed."""
    known = cached_models.entries()
    found: dict[str, Removal] = {}
    for ref in refs:
        entry, file = cached_models.find(ref, known)
        if revision:
            one = removal.revision(entry, revision)
        else:
            one = removal.selection(entry, file) if file else removal.everything(entry)
        if entry.repo in found and found[entry.repo].what != one.what:
            raise UsageError(f"{entry.repo} is named twice.", hint="Remove one part of it after the other.")
        found[entry.repo] = one
    return list(found.values())


def _refuse_used(one: Removal) -> None:
    names = cached_models.users(one.entry, registry.running())
    if names:
        servers = f"server {names[0]}" if len(names) == 1 else f"servers {', '.join(names)}"
        raise LlmserveError(
            f"{one.entry.repo} is used by the running {servers}.",
            hint=f"Stop it first: `llmserve down {' '.join(names)}`. Or add --force.",
            code="in_use",
            data={"repo": one.entry.repo, "servers": list(names)},
        )
    if removal.being_fetched(one.entry):
        raise LlmserveError(
            f"{one.entry.repo} is being fetched by another process.",
            hint="Wait for it, or end it; --force removes what is there all the same.",
            code="in_use",
            data={"repo": one.entry.repo, "servers": []},
        )
