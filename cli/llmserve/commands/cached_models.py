"""What ``ls``, ``rm``, ``prune`` and ``verify`` share: finding cached models by name, and who uses them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import typer

from llmserve.engine.server import Server
from llmserve.errors import LlmserveError, UsageError
from llmserve.models import house, names
from llmserve.models.house import Entry
from llmserve.models.hub import settings as hub_settings
from llmserve.models.removal import Removal, carry_out
from llmserve.output import Output
from llmserve.output.text import columns, gib

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def entries() -> tuple[Entry, ...]:
    """The models in the cache.

    Raises:
        LlmserveError: ``cache_not_readable``.
    """
    try:
        return house.scan()
    except OSError as error:
        raise LlmserveError(
            f"The cache {hub_settings.cache_folder()} cannot be read: {error.strerror}.",
            hint="Check its permissions, or set HF_HUB_CACHE to another folder.",
            code="cache_not_readable",
        ) from error


def find(ref: str, known: Sequence[Entry]) -> tuple[Entry, str | None]:
    """The entry that ``ref`` names, and what stands after its colon: ``org/name``, ``org/name:Q4_K_M``, a known name.

    Raises:
        UsageError: nothing of this name is in the cache (the nearest names are in the hint), or several models are.
    """
    for name, file in ((ref, None), ref.rsplit(":", 1)):
        found = [entry for entry in known if entry.repo.lower() == name.lower()] or _by_recipe(name, known)
        if len(found) > 1:
            listed = " and ".join(entry.repo for entry in found)
            raise UsageError(f"{name} stands for {listed} in the cache.", hint="Name one.", code="ambiguous_model")
        if found:
            return found[0], file or None
        if ":" not in ref:
            break
    raise _unknown(ref, known)


def users(entry: Entry, servers: Sequence[Server]) -> tuple[str, ...]:
    """Names of the running servers that were given files of this repository."""
    return tuple(sorted(server.name for server in servers if server.running and _uses(server, entry)))


def age(text: str, option: str) -> float:
    """``30d``, ``12h``, ``2w`` in seconds.

    Raises:
        UsageError: it is no such time.
    """
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"{option} {text!r} is not a length of time.", hint=f"Use {option} 30d, 12h or 2w.")
    return float(match[1]) * _UNITS[match[2]]


def ago(seconds: float) -> str:
    """``just now``, ``5 min ago``, ``3 h ago``, ``12 d ago``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def table(removals: Sequence[Removal]) -> str:
    rows = [(one.what, gib(one.freed_bytes), ago(one.entry.unused_seconds)) for one in removals]
    return columns(("MODEL", "SIZE", "LAST USE"), rows)


def confirm(output: Output, removals: Sequence[Removal]) -> None:
    """Ask the person at the terminal.

    Raises:
        UsageError: there is none.
    """
    what = removals[0].what if len(removals) == 1 else f"{len(removals)} models"
    if not output.interactive:
        raise UsageError(f"Removing {what} needs a yes.", hint="Add -y.", code="needs_yes")
    if len(removals) > 1:
        output.note(table(removals))
    typer.confirm(f"Remove {what} ({gib(sum(one.freed_bytes for one in removals))})?", abort=True, err=True)


def remove(removals: Sequence[Removal]) -> str:
    """Carry them out; the sentence says what was removed."""
    for one in removals:
        carry_out(one)
    freed = sum(one.freed_bytes for one in removals)
    names_ = ", ".join(one.what for one in removals)
    return f"Removed {names_}: {gib(freed)} freed."


def _by_recipe(name: str, known: Sequence[Entry]) -> list[Entry]:
    found = names.find(name)
    if found is None:
        return []
    recipe, only = found
    repos = {source.repo for source in recipe.sources if source.repo and only in (None, source.format)}
    repos |= {variant.repo for variant in recipe.variants} if only is None else set()
    return [entry for entry in known if entry.repo in repos]


def _unknown(ref: str, known: Sequence[Entry]) -> UsageError:
    import difflib

    spelt = {entry.repo.lower(): entry.repo for entry in known}
    spelt |= {entry.repo.rsplit("/", 1)[-1].lower(): entry.repo for entry in known}
    near = difflib.get_close_matches(ref.lower(), spelt, n=4, cutoff=0.5)
    meant = list(dict.fromkeys(spelt[name] for name in near))[:3]
    hint = f"Did you mean {' or '.join(meant)}?" if meant else "`llmserve ls` lists what is there."
    if not known:
        hint = f"The cache ({hub_settings.cache_folder()}) holds no models."
    return UsageError(f"There is no {ref} in the cache.", hint=hint, code="unknown_model", data={"nearest": meant})


def _uses(server: Server, entry: Entry) -> bool:
    if server.weights is not None:
        folders = Path(server.weights).parents
        return entry.path in folders or entry.path.resolve() in (*folders, *Path(server.weights).resolve().parents)
    served = server.model.lower()  # a record of an earlier version
    known = names.find(server.model)
    return entry.repo in (known[0].repos if known else ()) or served.startswith(entry.repo.lower())
