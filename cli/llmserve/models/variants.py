"""Which GGUF file of a repository is meant, and whether a cached repository is complete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from llmserve.errors import LlmserveError, UsageError
from llmserve.models import files
from llmserve.models.files import Folder
from llmserve.models.headers.blob import broken
from llmserve.models.model import Source

PREFERRED = ("Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS", "Q5_K_M", "Q8_0", "MXFP4", "F16", "BF16")
"""Taken from a repository with several when none is named: first what keeps most quality per byte."""

_SHOWN = 8


def choose(source: Source, names: Mapping[str, int]) -> tuple[str, ...]:
    """The GGUF file that ``source.file`` means (a name, a glob, a quantisation, or None), or all its parts.

    Raises:
        UsageError: ``unknown_file``: none fits, or several do.
        LlmserveError: ``broken_checkpoint``: parts of a split file are missing.
    """
    sets = files.gguf_sets(names)
    if not sets:
        raise UsageError(
            f"{source.repo} has no GGUF files.",
            hint=f"Name it without a suffix to use its safetensors: {source.repo}.",
            code="no_weights",
        )
    first = _fitting(source, list(sets))
    missing = [name for name in files.expected_parts(first) if name not in names]
    if missing:
        raise broken(f"{source.repo}/{first}", f"is a split model without {missing[0]}", missing_files=missing)
    return sets[first]


def complete(source: Source, folder: Path, listed: Mapping[str, int] | None) -> bool:
    """Whether a cached revision has all that serving needs. ``listed``: the repository's files, where known."""
    expected = Folder(folder, listed)
    try:
        gguf = source.format == "gguf"
        wanted = choose(source, expected.sizes) if gguf else ("config.json", *files.needed(expected))
    except (LlmserveError, OSError):
        return False
    tokenizer = listed is not None or gguf or files.has_tokenizer(expected)
    return tokenizer and all((folder / name).is_file() for name in wanted)


def _fitting(source: Source, names: list[str]) -> str:
    if source.file is None:
        return _default(source, names)
    fitting = [name for name in names if fits(name, source.file)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UsageError(
            f"{source.repo} has no GGUF file {source.file!r}.", hint=f"It has {_list(names)}.", code="unknown_file"
        )
    raise UsageError(
        f"{source.file!r} fits several GGUF files of {source.repo}.",
        hint=f"Name one of {_list(fitting)}, e.g. {source.repo}:{fitting[0]}",
        code="unknown_file",
    )


def _default(source: Source, names: list[str]) -> str:
    for quantization in PREFERRED:
        fitting = [name for name in names if fits(name, quantization)]
        if fitting:
            return min(fitting, key=lambda name: (len(name), name))
    if len(names) == 1:
        return names[0]
    raise UsageError(
        f"{source.repo} has several GGUF files.",
        hint=f"Name one of {_list(names)}, e.g. {source.repo}:{names[0]}",
        code="unknown_file",
    )


def fits(name: str, wanted: str) -> bool:
    """Whether a file's name is, matches, or carries (as a whole word) what the user wrote."""
    name, wanted = name.lower(), wanted.lower()
    if wanted.endswith(".gguf"):
        return fnmatch(name, wanted) or fnmatch(name.rsplit("/", 1)[-1], wanted)
    return re.search(rf"(^|[-._/]){re.escape(wanted)}([-./]|$)", name) is not None


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
