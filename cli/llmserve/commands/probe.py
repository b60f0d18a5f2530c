"""``llmserve probe``: is it really OpenAI-compatible?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmserve.commands.endpoint_options import ApiKey, BaseUrl, Header, Model, Profile, Server
from llmserve.commands.endpoint_options import endpoint as find_endpoint
from llmserve.commands.options import Json, Quiet
from llmserve.errors import InterruptedByUser, LlmserveError, UsageError
from llmserve.result import Result

if TYPE_CHECKING:
    from llmserve.endpoint.endpoint import Endpoint
    from llmserve.output import Output
    from llmserve.probe.check import Check
    from llmserve.probe.settings import Settings

EXAMPLES = """\b
Examples:
  llmserve probe
  llmserve probe --base-url http://gpu-box:8000 --html report.html
  llmserve probe --quick --fail-on feature --junit probe.xml
  llmserve probe --only 'stream.*' --only tools
  llmserve probe --explain stream.usage.last
  llmserve probe --plan
  llmserve probe --base-url http://old:8000 --against http://new:30000
  llmserve probe --report vllm-0.32.0 --against sglang-0.5.23

--against runs the probe there too, or reads a saved report; the key for a URL there is taken from OPENAI_AGAINST_KEY.
Verdicts: pass, fail, ignored (accepted without effect), unsupported (refused as a missing feature should be),
inconclusive (this model could not show it), skipped, n/a. Exit code 7: --fail-on or --min-score was not met,
or something of that severity gets worse."""

FAILED = 7
AGAINST_KEY = "OPENAI_AGAINST_KEY"
SEVERITIES = ("breaks", "feature", "cosmetic")

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Only = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="These checks or areas alone; repeatable.")]
Skip = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Not these checks or areas; repeatable.")]
Quick = Annotated[bool, typer.Option("--quick", help="What matters most, in 45 requests or fewer.")]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be sent and what it costs; send nothing.")]
Explain = Annotated[str | None, typer.Option(metavar="ID", help="Make one check and show all of it, to the byte.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one page.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write it for a CI system.")]
Md = Annotated[Path | None, typer.Option("--md", metavar="FILE", help="Write it as Markdown.")]
FailOn = Annotated[
    Literal["breaks", "feature", "cosmetic"],
    typer.Option(help="Exit with 7 for failures of this severity, and worse ones."),
]
MinScore = Annotated[
    int | None, typer.Option(min=0, max=100, metavar="N", help="Exit with 7 if an area scores less than N %.")
]
BudgetTokens = Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many tokens.")]
Concurrency = Annotated[int, typer.Option(min=1, max=32, metavar="N", help="Checks that run at once.")]
Timeout = Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How long one answer may take.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="WHAT", help="Also do what leaves traces or costs: delete, files, paid, burst; repeatable."),
]
Against = Annotated[
    str | None, typer.Option(metavar="URL|FILE|NAME", help="What changes for clients that move from here to there.")
]
Report = Annotated[str | None, typer.Option(metavar="FILE|NAME", help="A saved report instead of a run.")]
ALLOWED = ("delete", "files", "paid", "burst")


@app.command(epilog=EXAMPLES)
def probe(
    ctx: typer.Context,
    base_url: BaseUrl = None,
    model: Model = None,
    api_key: ApiKey = None,
    server: Server = None,
    profile: Profile = None,
    header: Header = None,
    only: Only = None,
    skip: Skip = None,
    quick: Quick = False,
    plan: Plan = False,
    explain: Explain = None,
    html: Html = None,
    junit: Junit = None,
    md: Md = None,
    fail_on: FailOn = "breaks",
    min_score: MinScore = None,
    budget_tokens: BudgetTokens = None,
    concurrency: Concurrency = 1,
    timeout: Timeout = 60.0,
    resume: Resume = False,
    allow: Allow = None,
    report: Report = None,
    against: Against = None,
    json: Json = False,
    quiet: Quiet = False,
) -> Result:
    """Tell, for any endpoint, which OpenAI clients and features will work, with the bytes that prove it."""
    del json, quiet  # read by Output.from_args
    from llmserve.probe.settings import Settings

    settings = Settings(
        only=(explain,) if explain else tuple(only or ()), skip=tuple(skip or ()), quick=quick,
        allow=_allowed(allow or ()), concurrency=concurrency, budget_tokens=budget_tokens, timeout_s=timeout,
    )  # fmt: skip
    checks = _chosen(settings, explain)
    if plan:
        return _planned(checks)
    files = {"html": html, "junit": junit, "md": md}
    _writable(files)
    notes: list[str] = []

    def record_of(url: str | None) -> dict[str, Any]:
        endpoint = find_endpoint(url, api_key, model, server, profile=profile, header=header)
        notes.extend(endpoint.notes)
        return _run(endpoint, checks, settings, ctx.obj, resume=resume)

    record = _saved(report) if report else record_of(base_url)
    worse = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    if against:
        other = _run(_there(against), checks, settings, ctx.obj, resume=False) if "://" in against else _saved(against)
        return _moved(record, other, worse)
    notes += _written(record, files, worse)
    code = FAILED if _missed(record, worse, min_score) else 0
    return Result(data=record, human=_text(record, explain), quiet=_line(record), exit_code=code, messages=tuple(notes))


def _saved(name: str) -> dict[str, Any]:
    from llmserve.probe.report.stored import load

    return load(name)


def _there(url: str) -> Endpoint:
    """The endpoint to move to. Its key is in OPENAI_AGAINST_KEY: the key of the first is none of its business."""
    import os

    from llmserve.endpoint.find import find

    return find(url, os.environ.get(AGAINST_KEY), environ={})


def _moved(before: dict[str, Any], after: dict[str, Any], severities: tuple[str, ...]) -> Result:
    from llmserve.probe.report import migration

    change = migration.compare(before, after)
    worse = [one for one in change["worse"] if one["severity"] in severities]
    line = f"{len(change['worse'])} worse, {len(change['better'])} better, {change['same']} the same"
    return Result(data=change, human=migration.shown(change), quiet=line, exit_code=FAILED if worse else 0)


def _chosen(settings: Settings, explain: str | None) -> tuple[Check, ...]:
    from llmserve.probe.selection import select, unmatched

    for pattern in unmatched((*settings.only, *settings.skip)):
        what = "--explain" if pattern == explain else "--only or --skip"
        raise UsageError(
            f"No check and no area is called {pattern!r} ({what}).", hint="llmserve probe --plan lists them."
        )
    checks = select(settings)
    if not checks:
        raise UsageError("Nothing is left to check.", hint="Loosen --only, --skip or --quick.")
    return checks


def _allowed(allow: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    for word in allow:
        if word not in ALLOWED:
            raise UsageError(f"--allow knows no {word!r}.", hint=f"Words: {', '.join(ALLOWED)}.")
    return tuple(allow)


def _planned(checks: tuple[Check, ...]) -> Result:
    from llmserve.output.text import columns
    from llmserve.probe.selection import cost

    total = cost(checks)
    rows = [(check.id, check.severity, check.title) for check in checks]
    data = {
        "requests": total.requests, "tokens": total.tokens, "prompt_tokens": total.prompt_tokens,
        "checks": [
            {"id": check.id, "area": check.area, "severity": check.severity, "title": check.title} for check in checks
        ],
    }  # fmt: skip
    said = (
        f"{len(checks)} checks, at most {total.requests} requests that ask for {total.tokens:,} tokens of answers "
        f"and send about {total.prompt_tokens:,} tokens of prompts. Nothing was sent."
    )
    return Result(data=data, human=f"{columns(('CHECK', 'SEVERITY', 'TITLE'), rows)}\n\n{said}", quiet=said)


def _run(
    endpoint: Endpoint, checks: tuple[Check, ...], settings: Settings, output: Output, *, resume: bool
) -> dict[str, Any]:
    from llmserve.output.steps import steps
    from llmserve.probe.probing import Cut
    from llmserve.probe.probing import probe as run

    done = 0
    with steps(("probe",), output.err, mode=output.mode, interactive=output.interactive) as shown:

        def progress(outcome: Any) -> None:
            nonlocal done
            done += 1
            shown.update("probe", detail=outcome.check.id, done=done, total=len(checks), unit="checks")

        shown.begin("probe", endpoint.base_url)
        try:
            record = run(endpoint, checks, settings, resume=resume, progress=progress)
        except Cut:
            raise InterruptedByUser(
                f"Interrupted after {done} of {len(checks)} checks.", hint="--resume goes on from there."
            ) from None
        shown.finish("probe", f"{len(checks)} checks, {record['requests']} requests")
    return record


def _text(record: dict[str, Any], explain: str | None) -> str:
    from llmserve.probe.report.text import explained, shown

    if explain:
        return "\n\n".join(explained(check, record["exchanges"]) for check in record["checks"])
    return shown(record)


def _line(record: dict[str, Any]) -> str:
    from llmserve.probe.report.text import one_line

    return one_line(record)


def _missed(record: dict[str, Any], severities: tuple[str, ...], min_score: int | None) -> bool:
    bad = ("fail", "ignored")
    failed = any(check["verdict"] in bad and check["severity"] in severities for check in record["checks"])
    low = min_score is not None and any(
        area["score"] is not None and area["score"] < min_score for area in record["areas"]
    )
    return failed or low


def _writable(files: dict[str, Path | None]) -> None:
    """Say before the run, not after it, that a file cannot be written."""
    for name, path in files.items():
        if path and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UsageError(f"--{name} {path}: there is no such folder.", hint="Name a file in a folder that exists.")


def _written(record: dict[str, Any], files: dict[str, Path | None], severities: tuple[str, ...]) -> list[str]:
    notes = []
    for name, path in files.items():
        if path:
            try:
                path.write_text(_form(name, record, severities), encoding="utf-8")
            except OSError as error:
                raise LlmserveError(
                    f"{path} cannot be written: {error.strerror}.", hint="Name another file.", data=record
                ) from error
            notes.append(f"Wrote {path}.")
    return notes


def _form(name: str, record: dict[str, Any], severities: tuple[str, ...]) -> str:
    if name == "html":
        from llmserve.probe.report.page import page

        return page(record)
    if name == "junit":
        from llmserve.probe.report.junit import junit

        return junit(record, fail_on=severities)
    from llmserve.probe.report.markdown import markdown

    return markdown(record)
