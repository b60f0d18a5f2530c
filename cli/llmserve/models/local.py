"""Models on this disk: what a path holds, and what is wrong with it if that is no model."""

from __future__ import annotations

from pathlib import Path

from llmserve.errors import UsageError
from llmserve.models import files
from llmserve.models.files import Folder
from llmserve.models.model import Candidate, Source

_SHOWN = 5


def is_path(ref: str) -> bool:
    """Whether ``ref`` means a place on this disk: it looks like one, or something that may be a model is there."""
    if ref.startswith(("./", "../", "/", "~")) or ref in (".", ".."):
        return True
    path = Path(ref)
    try:
        if "/" in ref or ref.lower().endswith(".gguf"):
            return path.exists() or _looks_like_file(ref)
        return path.is_dir() and ((path / "config.json").is_file() or any(path.glob("*.gguf")))
    except OSError:
        return False


def candidate(ref: str, *, planning: bool = False) -> Candidate:
    """The model at a path. ``planning``: a folder with a configuration and no weights will do.

    Raises:
        UsageError: ``not_a_model``, saying what is missing or in the way.
    """
    path = Path(ref).expanduser()
    try:
        if not path.exists():
            raise _wrong(f"There is nothing at {ref}.", "Check the path; a model of a hub is named org/name.")
        path = path.resolve()
        return _folder(ref, path, planning=planning) if path.is_dir() else _file(ref, path)
    except PermissionError as error:
        raise _wrong(f"{ref} cannot be read: {error.strerror}.", "Check its permissions.") from error


def _looks_like_file(ref: str) -> bool:
    return ref.lower().endswith(".gguf") and ":" not in ref


def _file(ref: str, path: Path) -> Candidate:
    if path.suffix.lower() != ".gguf":
        raise _wrong(f"{ref} is not a .gguf file.", "Name one, or the folder with config.json and safetensors.")
    first = files.expected_parts(path.name)[0]
    name = first.removesuffix(path.suffix)
    return Candidate(ref=ref, name=name, sources=(Source(format="gguf", path=str(path.with_name(first))),))


def _folder(ref: str, path: Path, *, planning: bool) -> Candidate:
    here = Folder(path)
    sets = [name for name in files.gguf_sets(here.sizes) if "/" not in name]
    sources = _safetensors(ref, here, quiet=bool(sets), planning=planning)
    if not sources or len(sets) == 1:
        sources += _gguf(ref, path, sets)
    return Candidate(ref=ref, name=path.name or "model", sources=sources)


def _safetensors(ref: str, here: Folder, *, quiet: bool, planning: bool) -> tuple[Source, ...]:
    """The safetensors source of a folder; with ``quiet`` its absence is fine, with ``planning`` that of weights."""
    config = "config.json" in here.sizes
    weights = any(name.endswith(".safetensors") and "/" not in name for name in here.sizes)
    if config and (weights or not quiet):
        if weights or not planning:
            files.weight_files(here)
        return (Source(format="safetensors", path=str(here.path)),)
    if quiet:
        return ()
    if weights:
        raise _wrong(f"{ref} has safetensors but no config.json.", "Copy the whole model folder, with its JSON files.")
    if not here.sizes:
        raise _wrong(f"{ref} is an empty folder.", "Name a folder with a model, or a known name: `llmserve models`.")
    raise _wrong(f"{ref} holds no model: neither config.json nor a .gguf file.", "Name the folder that holds one.")


def _gguf(ref: str, path: Path, sets: list[str]) -> tuple[Source, ...]:
    if len(sets) > 1:
        more = f" and {len(sets) - _SHOWN} more" if len(sets) > _SHOWN else ""
        raise _wrong(
            f"{ref} holds {len(sets)} GGUF models: {', '.join(sets[:_SHOWN])}{more}.", f"Name one: {path / sets[0]}"
        )
    return tuple(Source(format="gguf", path=str(path / name)) for name in sets)


def _wrong(message: str, hint: str) -> UsageError:
    return UsageError(message, hint=hint, code="not_a_model")
