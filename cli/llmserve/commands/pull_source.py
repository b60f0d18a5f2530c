"""Which of a model's formats ``pull`` fetches, and what to type to serve it afterwards."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from llmserve import models
from llmserve.errors import LlmserveError, UsageError
from llmserve.models import files, local, variants
from llmserve.models.hub.plan import FetchPlan
from llmserve.models.model import Candidate, Format, Source

ENGINES: dict[Format, str] = {"safetensors": "sglang", "gguf": "llamacpp"}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """``candidate.ref`` is what was typed, with the quantisation. ``asked``: the format was, too."""

    candidate: Candidate
    source: Source
    asked: bool


def choose(ref: str, *, quant: str | None, form: str | None, revision: str | None) -> Chosen:
    """The source that ``up`` would serve on this machine, or the one that was asked for.

    Raises:
        UsageError: see ``models.resolve``; the options contradict each other, or no such format exists.
    """
    wanted = _format(form, quant)
    if quant:
        ref = _with_quantisation(ref, quant)
    candidate = models.resolve(ref, revision=None if wanted else revision)
    if wanted is None:
        return Chosen(candidate=candidate, source=_as_up_does(candidate), asked=False)
    source = _asked(candidate, wanted)
    if revision:
        source = replace(source, revision=revision)
    return Chosen(candidate=candidate, source=source, asked=form is not None)


def command(chosen: Chosen, plan: FetchPlan) -> str | None:
    """The command that serves what has been fetched; None where a part of the model was left out."""
    if plan.plain:
        return _of_folder(chosen, plan.folder)
    listed = {file.name: file.size_bytes for file in plan.files} | {file.name: file.size_bytes for file in plan.skipped}
    if not variants.complete(chosen.source, plan.folder, listed):
        return None
    words = ["llmserve", "up", chosen.candidate.ref]
    if chosen.asked and chosen.source.format not in chosen.candidate.formats:
        words[-1] += f":{plan.files[0].name}"
    elif chosen.asked and len(chosen.candidate.formats) > 1:
        words += ["--engine", ENGINES[chosen.source.format]]
    revision = chosen.source.revision
    return shlex.join([*words, *(["--revision", revision] if revision else [])])


def _of_folder(chosen: Chosen, folder: Path) -> str | None:
    """A folder is named as a whole; a GGUF file itself where there are several, or where it lies in a folder below."""
    place = folder
    try:
        if chosen.source.format == "gguf":
            place = folder / variants.choose(chosen.source, files.Folder(folder).sizes)[0]
        whole = local.candidate(str(folder)).formats == (chosen.source.format,)
    except LlmserveError:
        whole = False
    if not whole and place == folder:
        return None
    return shlex.join(["llmserve", "up", str(folder if whole else place)])


def _format(form: str | None, quant: str | None) -> Format | None:
    for known in ENGINES:
        if form == known:
            break
    else:
        if form is not None:
            raise UsageError(f"There is no format {form!r}.", hint="Use --format safetensors or --format gguf.")
        return "gguf" if quant else None
    if quant and known == "safetensors":
        raise UsageError(f"--quant {quant} chooses a GGUF file.", hint="Leave --format out.", code="contradiction")
    return known


def _with_quantisation(ref: str, quant: str) -> str:
    if local.is_path(ref) or ":" in ref:
        raise UsageError(f"{ref} says already which file is meant.", hint="Leave --quant out.", code="contradiction")
    return f"{ref}:{quant}"


def _as_up_does(candidate: Candidate) -> Source:
    if len(candidate.sources) == 1:
        return candidate.sources[0]
    from llmserve import hardware
    from llmserve.plan import choose as planner

    name, _ = planner.choose_engine(candidate, hardware.detect())
    return candidate.source(planner.FORMAT[name])


def _asked(candidate: Candidate, wanted: Format) -> Source:
    if wanted in candidate.formats:
        return candidate.source(wanted)
    source = candidate.sources[0]
    if candidate.recipe or source.repo is None:
        raise UsageError(
            f"{candidate.name} does not exist as {wanted}, only as {' and '.join(candidate.formats)}.",
            hint="Leave --format out, or name another model: `llmserve models`.",
            code="no_such_format",
        )
    return replace(source, format=wanted, file=None)  # a repository may hold both; its listing will tell
