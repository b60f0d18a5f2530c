"""A fetch plan in words and as data: what comes, what is here, what is left out, where it lands, how long it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmserve.models.hub.plan import FetchPlan, Skipped, Wanted
from llmserve.output import ledger
from llmserve.output.ledger import Look
from llmserve.output.text import duration, gib

_ROWS = 30
_SHARD = re.compile(r"-\d{5}(?=-of-\d{5})")


def table(plan: FetchPlan, look: Look, *, rate: float | None = None) -> str:
    """The whole plan. ``rate`` in bytes per second, as earlier downloads had it."""
    rows = [_row(group) for group in _groups(plan.files)]
    lines = [f"{plan.repo} {_revision(plan)}", *ledger.rows(rows[:_ROWS], look, right=(0,))]
    if len(rows) > _ROWS:
        lines.append(f"  … and {len(rows) - _ROWS} more files")
    if plan.skipped:
        lines += ["Left out:", *ledger.rows(list(_left_out(plan.skipped)), look, right=(0,))]
    return "\n".join([*lines, "", *ledger.rows(list(_facts(plan, rate)), look)])


def data(plan: FetchPlan, *, rate: float | None = None) -> dict[str, Any]:
    """The plan as JSON types."""
    return {
        "repo": plan.repo,
        "commit": plan.commit,
        "revision": plan.revision,
        "folder": str(plan.folder),
        "total_bytes": plan.total_bytes,
        "missing_bytes": plan.missing_bytes,
        "cached_bytes": plan.cached_bytes,
        "room_bytes": plan.room_bytes,
        "free_bytes": plan.free_bytes,
        "short_bytes": plan.short_bytes,
        "expected_seconds": round(plan.missing_bytes / rate, 1) if rate else None,
        "files": [_file(file) for file in plan.files],
        "skipped": [{"name": file.name, "size_bytes": file.size_bytes, "why": file.why} for file in plan.skipped],
    }


def place(plan: FetchPlan) -> Path:
    """Where the files go, as people look for it: the folder of the repository, or their own."""
    return plan.folder if plan.plain else plan.folder.parent.parent


def home(path: Path) -> str:
    """A path as people write it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def size(count: int) -> str:
    """As ``gib``, with smaller units for the small files of a repository."""
    if count >= 1024**2 / 10:
        return gib(count)
    return f"{count / 1024:.1f} KiB" if count >= 1024 else f"{count} B"


def _groups(files: Sequence[Wanted]) -> list[list[Wanted]]:
    """Files, with the shards of one model together."""
    groups: dict[str, list[Wanted]] = {}
    for file in files:
        groups.setdefault(_SHARD.sub("-*", file.name), []).append(file)
    return list(groups.values())


def _row(group: Sequence[Wanted]) -> tuple[str, str, str]:
    first = group[0]
    name = first.name if len(group) == 1 else f"{_SHARD.sub('-*', first.name)} ({len(group)} files)"
    state = _state(group)
    return size(sum(file.size_bytes for file in group)), first.why, f"{name}{state and f' – {state}'}"


def _state(group: Sequence[Wanted]) -> str:
    """What of these files need not be fetched."""
    total, missing = sum(file.size_bytes for file in group), sum(file.missing_bytes for file in group)
    here = sum(file.cached for file in group)
    if any(file.copy_from for file in group) and not missing:
        return "copied from the cache"
    if here == len(group):
        return "here"
    return f"{size(total - missing)} here" if missing < total else ""


def _left_out(skipped: Sequence[Skipped]) -> Iterator[tuple[str, str, str]]:
    reasons: dict[str, list[Skipped]] = {}
    for file in skipped:
        reasons.setdefault(file.why, []).append(file)
    for why, files in sorted(reasons.items(), key=lambda item: -sum(file.size_bytes for file in item[1])):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        yield size(sum(file.size_bytes for file in files)), why, f"{files[0].name}{more}"


def _facts(plan: FetchPlan, rate: float | None) -> Iterator[tuple[str, str]]:
    yield "Fetch", f"{_amount(plan)}{_time(plan, rate)}"
    free = "" if plan.free_bytes is None else f" ({gib(plan.free_bytes)} free)"
    yield "Into", f"{home(place(plan))}{free}"
    if plan.short_bytes:
        yield "Lacking", f"{gib(plan.short_bytes)} of room on that disk"


def _amount(plan: FetchPlan) -> str:
    copies = plan.room_bytes - plan.missing_bytes
    if plan.missing_bytes:
        rest = f" of {size(plan.total_bytes)}" if plan.missing_bytes < plan.total_bytes else ""
        return f"{size(plan.missing_bytes)}{rest}"
    return f"nothing: {size(copies)} are copied from the cache" if copies else "nothing: all of it is here"


def _time(plan: FetchPlan, rate: float | None) -> str:
    if not rate or not plan.missing_bytes:
        return ""
    return f", about {duration(plan.missing_bytes / rate)} at the {gib(rate)}/s of earlier downloads"


def _revision(plan: FetchPlan) -> str:
    short = plan.commit[:12]
    return f"at {short}" if plan.revision == plan.commit else f"at {plan.revision} ({short})"


def _file(file: Wanted) -> dict[str, Any]:
    return {
        "name": file.name,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "git_sha1": file.git_sha1,
        "why": file.why,
        "cached": file.cached,
        "partial_bytes": file.partial_bytes,
    }
