"""From what the user typed to a candidate: a path, a known name, or a hub id. Asks no network."""

from __future__ import annotations

import re
from dataclasses import replace

from llmserve.errors import UsageError
from llmserve.models import local, names, recipes
from llmserve.models.files import gguf_sets
from llmserve.models.hub import cache as hub_cache
from llmserve.models.model import Candidate, Format, Source
from llmserve.models.recipes import Recipe

_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*?)(?::(?P<file>[^:]+))?")
_NAME = re.compile(r"(?P<name>[^:/]+):(?P<file>[^:]+)")


def resolve(ref: str, *, revision: str | None = None, planning: bool = False) -> Candidate:
    """What ``ref`` stands for. ``revision`` (branch, tag or commit) applies to the repository that it names.

    With ``planning`` a folder with a configuration and no weights is a model too; see ``describe``.

    Raises:
        UsageError: ``not_a_model``: a path without a model, saying what is wrong with it; ``unknown_model``: no such
            name, with the nearest ones.
    """
    if local.is_path(ref):
        _no_revision(ref, revision, "is a path")
        return local.candidate(ref, planning=planning)
    candidate = _known(ref) or _hub_id(ref)
    if candidate is None:
        raise UsageError(
            f"There is no model called {ref!r}.", hint=names.hint(ref), code="unknown_model",
            data={"ref": ref, "nearest": names.nearest(ref)},
        )  # fmt: skip
    return _at(candidate, revision) if revision else candidate


def default_candidates() -> list[Candidate]:
    """What to choose from for a user who named no model, the best first."""
    return [recipe.candidate() for recipe in recipes.ranked()]


def _known(ref: str) -> Candidate | None:
    found, file = names.find(ref), None
    if found is None and (match := _NAME.fullmatch(ref) or _HUB_ID.fullmatch(ref)) and match.group("file"):
        found, file = names.find(match.group(1)), match.group("file")
    if found is None:
        return None
    recipe, only = found
    candidate = recipe.candidate(ref, name=_api_name(ref, recipe))
    if file is not None:
        return _with_file(candidate, file)
    return _only(candidate, only) if only else candidate


def _api_name(ref: str, recipe: Recipe) -> str:
    """A model that was named by its repository keeps that id, in the hub's own spelling."""
    repo = ref.partition(":")[0]
    return next((known for known in recipe.repos if names.normal(known) == names.normal(repo)), recipe.name)


def _with_file(candidate: Candidate, file: str) -> Candidate:
    files = (source for source in candidate.sources if source.format == "gguf" and source.repo)
    sources = tuple(replace(source, file=file, size_bytes=None) for source in files)
    if not sources:
        raise UsageError(
            f"{candidate.name} has no GGUF files to choose from.",
            hint=f"Name it without a suffix: {candidate.name}",
            code="unknown_file",
        )
    return replace(candidate, sources=sources)


def _only(candidate: Candidate, kind: Format) -> Candidate:
    return replace(candidate, sources=tuple(source for source in candidate.sources if source.format == kind))


def _hub_id(ref: str) -> Candidate | None:
    match = _HUB_ID.fullmatch(ref)
    if match is None:
        return None
    repo, file = match.group("repo"), match.group("file")
    kind: Format = "gguf" if file or _is_gguf(repo) else "safetensors"
    return Candidate(ref=ref, name=repo, sources=(Source(format=kind, repo=repo, file=file),))


def _is_gguf(repo: str) -> bool:
    """A cached repository is looked at; any other says it in its name, as is the custom."""
    folder = hub_cache.snapshot(repo)
    if folder and not (folder / "config.json").exists():
        return bool(gguf_sets(path.name for path in folder.rglob("*.gguf")))
    return "gguf" in repo.lower()


def _at(candidate: Candidate, revision: str) -> Candidate:
    """A recipe's two formats are two repositories: a revision can mean one of them only."""
    source = candidate.sources[0]
    if source.builtin:
        _no_revision(candidate.name, revision, "is made on this machine")
    return replace(candidate, sources=(replace(source, revision=revision),))


def _no_revision(name: str, revision: str | None, reason: str) -> None:
    if revision:
        raise UsageError(f"{name} {reason} and has no revisions.", hint="Leave --revision out.", code="no_revision")
