"""What ``llmserve verify`` says of its findings."""

from __future__ import annotations

from typing import Any

from llmserve.errors import LlmserveError
from llmserve.models.integrity import Report
from llmserve.output.text import columns, gib
from llmserve.result import Result


def result(
    name: str, report: Report, *, fix: str, mended: tuple[str, ...] = (), note: str = "", lacking: str = ""
) -> Result:
    """``fix`` is the command that mends what is damaged, ``lacking`` the one that fetches what is not here at all."""
    notes = [note] if note else []
    if report.unchecked:
        notes.append(f"Nobody tells a hash of {', '.join(report.unchecked[:3])}: compared by size alone.")
    if lacking and not report.findings:
        notes.append(f"Files are missing that serving needs: `{lacking}` fetches them.")
    if report.findings:
        rows = [(one.file.name, one.text) for one in report.findings]
        error = _damaged(name, report, fix)
        return Result(
            data=_data(name, report, mended, complete=not lacking),
            human=columns(("FILE", "WHAT IS WRONG"), rows),
            quiet="\n".join(report.names),
            messages=(*notes, error.hint or ""),
            exit_code=1,
            error=error,
        )
    again = f" after {', '.join(mended)} {'was' if len(mended) == 1 else 'were'} fetched again" if mended else ""
    count = "the only file" if report.files == 1 else f"all {report.files} files"
    return Result(
        data=_data(name, report, mended, complete=not lacking),
        human=f"{name}: {count} ({gib(report.size_bytes)}) {'is' if report.files == 1 else 'are'} right{again}.",
        quiet=name,
        messages=tuple(notes),
    )


def _data(name: str, report: Report, mended: tuple[str, ...], *, complete: bool) -> dict[str, Any]:
    damaged = [
        {"name": one.file.name, "commit": one.commit, "problem": one.problem, "text": one.text}
        for one in report.findings
    ]
    return {
        "repo": name,
        "files": report.files,
        "size_bytes": report.size_bytes,
        "damaged": damaged,
        "fetched_again": list(mended),
        "unchecked": list(report.unchecked),
        "complete": complete and not damaged,
    }


def _damaged(name: str, report: Report, fix: str) -> LlmserveError:
    names = report.names
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    verb, them = ("is", "it") if len(names) == 1 else ("are", "them")
    return LlmserveError(
        f"{len(names)} of {report.files} files of {name} {verb} damaged: {', '.join(names[:3])}{more}.",
        hint=f"`{fix}` fetches {them} again.",
        code="damaged",
        data={"repo": name, "files": list(names)},
    )
