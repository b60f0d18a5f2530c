"""``llmserve verify``: whether what is on this disk is what the hub has."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from llmserve.commands import cached_models, verify_result
from llmserve.commands.options import Json, Quiet
from llmserve.errors import LlmserveError, UsageError
from llmserve.models import condition, expected, integrity
from llmserve.models.expected import Expected
from llmserve.models.house import Entry, Snapshot
from llmserve.models.hub import settings as hub_settings
from llmserve.models.integrity import Report
from llmserve.models.local import is_path
from llmserve.output import Output
from llmserve.output.steps import Steps, steps
from llmserve.output.text import gib
from llmserve.result import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """Examples:

\b
  llmserve verify Qwen/Qwen3-8B
  llmserve verify Qwen/Qwen3-8B --fix     fetches damaged files again, and only those
  llmserve verify org/name --offline      against the hashes on this disk alone
  llmserve verify ./folder                what `llmserve pull --to` made

Every file is read: about a second for a gigabyte. Exit code 1: files are damaged.
"""

_PASSING = ("hub_unreachable", "hub_offline", "hub_interrupted", "hub_rate_limit")


@app.command(epilog=EXAMPLES)
def verify(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As `llmserve ls` names it, or a folder.")],
    fix: Annotated[bool, typer.Option("--fix", help="Fetch damaged files again.")] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Only this branch, tag or commit; else all that are here.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub what the files should be.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Check a model's files on this disk against their sizes and hashes."""
    if fix and offline:
        raise UsageError("--fix fetches files, which --offline forbids.", hint="Leave one of them out.")
    output = ctx.find_object(Output) or Output()
    if is_path(model):
        return _folder(model, output, fix=fix)
    entry, _ = cached_models.find(model, cached_models.entries())
    chosen = _snapshots(entry, revision)
    with _steps(output, fix=fix) as shown:
        listings, note = ({}, "") if offline else _listings(entry, chosen)
        report = _verify(chosen, listings, shown)
        mended: tuple[str, ...] = ()
        if fix and report.findings:
            mended = _mend(entry, report, shown)
            entry, _ = cached_models.find(entry.repo, cached_models.entries())
            report = _verify(_snapshots(entry, revision), listings, shown)
    return verify_result.result(
        entry.repo, report, fix=f"llmserve verify {entry.repo} --fix", mended=mended, note=note,
        lacking="" if condition.condition(entry).complete else f"llmserve pull {entry.repo}",
    )  # fmt: skip


def _folder(path: str, output: Output, *, fix: bool) -> Result:
    """A folder that ``pull --to`` made, on this machine or on another."""
    found = expected.folder(Path(path).expanduser())
    if found is None:
        raise UsageError(
            f"Nobody noted what the files in {path} should be.",
            hint="Only folders that `llmserve pull --to` or `hf download --local-dir` made can be checked.",
            code="no_hashes",
        )
    again = f"llmserve pull MODEL --to {path}"
    if fix:
        raise UsageError(f"{path} does not say which model it is.", hint=f"Remove the bad files, then: `{again}`.")
    snapshot, told = found
    with _steps(output, fix=False) as shown:
        report = _verify((snapshot,), {snapshot.commit: told}, shown)
    return verify_result.result(path, report, fix=again)


def _steps(output: Output, *, fix: bool) -> Steps:
    names = ("verify", "fetch") if fix else ("verify",)
    return steps(names, output.err, mode=output.mode, interactive=output.interactive)


def _snapshots(entry: Entry, revision: str | None) -> tuple[Snapshot, ...]:
    if not any(snapshot.files for snapshot in entry.snapshots):
        raise LlmserveError(
            f"No file of {entry.repo} is complete yet.",
            hint=f"`llmserve pull {entry.repo}` fetches the rest, and checks it.",
            code="incomplete",
        )
    if revision is None:
        return entry.snapshots
    chosen = tuple(one for one in entry.snapshots if revision in one.refs or one.commit.startswith(revision))
    if not chosen:
        known = ", ".join(" ".join((one.commit[:12], *one.refs)) for one in entry.snapshots)
        raise UsageError(
            f"{entry.repo} has no revision {revision!r} in the cache.",
            hint=f"It has: {known}.",
            code="unknown_revision",
        )
    return chosen


def _listings(entry: Entry, snapshots: tuple[Snapshot, ...]) -> tuple[Mapping[str, Mapping[str, Expected]], str]:
    """What the hub says of the commits, and a note if it did not."""
    if hub_settings.offline():
        return {}, ""
    from llmserve.models.hub.api import Hub

    found: dict[str, Mapping[str, Expected]] = {}
    try:
        with closing(Hub()) as hub:
            for snapshot in snapshots:
                found[snapshot.commit] = expected.hub_listing(hub.listing(entry.repo, snapshot.commit))
    except LlmserveError as error:
        why = "cannot be reached" if error.code in _PASSING else "does not say what the files should be"
        return found, f"The hub {why}; the files were compared with the hashes on this disk."
    return found, ""


def _verify(snapshots: tuple[Snapshot, ...], listings: Mapping[str, Mapping[str, Expected]], shown: Steps) -> Report:
    shown.begin("verify")
    report = integrity.verify(
        snapshots,
        listings,
        lambda done, total, name: shown.update("verify", detail=name, done=done, total=total, unit="B"),
    )
    shown.finish("verify", f"{report.files} files, {gib(report.size_bytes)}")
    return report


def _mend(entry: Entry, report: Report, shown: Steps) -> tuple[str, ...]:
    from llmserve.models.hub.api import Hub

    shown.begin("fetch", f"{len(report.names)} damaged")
    with closing(Hub()) as hub:
        names = integrity.mend(
            entry,
            report.findings,
            hub,
            lambda done, total, _: shown.update("fetch", done=done, total=total, unit="B"),
        )
    shown.finish("fetch")
    return names
