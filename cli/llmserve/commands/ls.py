"""``llmserve ls``: the models on this disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from llmserve.commands import cached_models
from llmserve.commands.options import Json, Quiet
from llmserve.engine import registry
from llmserve.models.condition import Condition, condition
from llmserve.models.house import Entry
from llmserve.models.hub import settings as hub_settings
from llmserve.output.text import columns, gib
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

HEADER = ("MODEL", "FORMAT", "SIZE", "LAST USE", "STATE", "SERVER")

EXAMPLES = """Examples:

\b
  llmserve ls
  llmserve ls --sort size     the largest first
  llmserve ls -q              names only
  llmserve prune --older-than 30d
"""

Sort = Literal["used", "size", "name"]
_ORDER: dict[Sort, Callable[[Entry], Any]] = {
    "used": lambda entry: -entry.last_used,
    "size": lambda entry: -entry.size_bytes,
    "name": lambda entry: entry.repo.lower(),
}


@app.command(epilog=EXAMPLES)
def ls(
    sort: Annotated[Sort, typer.Option(help="Last used first, largest first, or by name.")] = "used",
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """List the models on this disk: in the Hugging Face cache, which other tools share."""
    found = sorted(cached_models.entries(), key=_ORDER[sort])
    servers = registry.running()
    rows = [(entry, condition(entry), cached_models.users(entry, servers)) for entry in found]
    folder = hub_settings.cache_folder()
    total, free = sum(entry.size_bytes for entry in found), _free()
    return Result(
        data={
            "models": [_data(*row) for row in rows], "cache": str(folder), "size_bytes": total, "free_bytes": free,
        },
        human=_table(rows, total, free) if rows else f"The cache holds no models: {folder}.",
        quiet="\n".join(entry.repo for entry in found),
        messages=() if rows else ("`llmserve pull MODEL` fetches one; `llmserve models` lists those known by name.",),
    )  # fmt: skip


def _table(rows: list[tuple[Entry, Condition, tuple[str, ...]]], total: int, free: int | None) -> str:
    room = f"; {gib(free)} free" if free is not None else ""
    count = "1 model" if len(rows) == 1 else f"{len(rows)} models"
    table = columns(HEADER, [_row(*row) for row in rows])
    return f"{table}\n\n{count}, {gib(total)} in {hub_settings.cache_folder()}{room}."


def _row(entry: Entry, state: Condition, servers: tuple[str, ...]) -> tuple[str, ...]:
    used = "now" if servers else cached_models.ago(entry.unused_seconds)
    whole = "complete" if state.complete else "partial"
    return entry.repo, state.words, gib(entry.size_bytes), used, whole, ", ".join(servers) or "-"


def _data(entry: Entry, state: Condition, servers: tuple[str, ...]) -> dict[str, Any]:
    return {
        "repo": entry.repo,
        "format": state.format or None,
        "quantizations": list(state.quantizations),
        "size_bytes": entry.size_bytes,
        "unfinished_bytes": entry.partial_bytes,
        "last_used": round(entry.last_used, 3),
        "complete": state.complete,
        "servers": list(servers),
        "revisions": [{"commit": one.commit, "refs": list(one.refs)} for one in entry.snapshots],
        "path": str(entry.path),
    }


def _free() -> int | None:
    try:
        return shutil.disk_usage(hub_settings.cache_folder()).free
    except OSError:
        return None
