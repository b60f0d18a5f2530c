"""The files of one model as a flat list of names, on this disk or on a hub, and which of them serving needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from llmserve.errors import UsageError
from llmserve.models.headers.blob import FIRST_PIECE, MIB, Blob, LocalBlob, broken

INDEX = "model.safetensors.index.json"
_TOKENIZERS = (
    "tokenizer.json", "tokenizer.model*", "vocab.json", "vocab.txt", "spiece.model", "tekken.json", "*.tiktoken",
)  # fmt: skip
_COMPANIONS = ("*.json", "*.jinja", "merges.txt", *_TOKENIZERS)
_NOT_NEEDED = ("*.index.json",)
_OTHER_WEIGHTS = ("consolidated*", "adapter*")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)", re.IGNORECASE)


class Files(Protocol):
    """``where`` is how messages call the place: a folder, or a hub id."""

    @property
    def where(self) -> str: ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Name (with ``/`` for folders) and size in bytes of every file."""

    def blob(self, name: str) -> Blob: ...


@dataclass(frozen=True)
class Folder:
    """A folder on this disk. ``listed`` are the files that ought to be in it, where that is known."""

    path: Path
    listed: Mapping[str, int] | None = None

    @property
    def where(self) -> str:
        return str(self.path)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        if self.listed is not None:
            return self.listed
        found = (path for pattern in ("*", "*/*") for path in self.path.glob(pattern) if path.is_file())
        return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in found}

    def blob(self, name: str) -> Blob:
        return LocalBlob.of(self.path / name)


def read_json(files: Files, name: str) -> dict[str, Any]:
    """A JSON object out of a model's files.

    Raises:
        LlmserveError: ``broken_checkpoint``: the file is missing or is no JSON object.
    """
    if name not in files.sizes:
        raise broken(files.where, f"has no {name}")
    blob = files.blob(name)
    try:
        content = json.loads(blob.read(0, blob.size))
    except (ValueError, RecursionError) as error:
        raise broken(blob.name, "is damaged: it is not JSON") from error
    if not isinstance(content, dict):
        raise broken(blob.name, "is damaged: it is not a JSON object")
    return content


def has_tokenizer(files: Files) -> bool:
    return any(_matches(name, _TOKENIZERS) for name in files.sizes)


def has_template(files: Files) -> bool:
    """Whether the model brings a chat template."""
    if any(name in files.sizes for name in ("chat_template.jinja", "chat_template.json")):
        return True
    return "tokenizer_config.json" in files.sizes and bool(
        read_json(files, "tokenizer_config.json").get("chat_template")
    )


def read_index(files: Files) -> Mapping[str, str] | None:
    """Which tensor is in which file; None where there is no index.

    Raises:
        LlmserveError: ``broken_checkpoint``: the index is damaged.
    """
    if INDEX not in files.sizes:
        return None
    names = read_json(files, INDEX).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise broken(f"{files.where}/{INDEX}", "is damaged: it has no weight_map")
    return names


def weight_files(files: Files, index: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The safetensors files that hold the model, each tensor once. ``index``: if it has been read already.

    Raises:
        UsageError: ``no_weights``: there are none, or only pickle files, which llmserve does not load.
        LlmserveError: ``broken_checkpoint``: the index is damaged, or names files that are missing.
    """
    index = index or read_index(files)
    if index is not None:
        return _indexed(files, index)
    if likely := likely_weights(files):
        return likely
    raise _no_weights(files)


def likely_weights(files: Files) -> tuple[str, ...]:
    """What ``weight_files`` will be, as far as names tell."""
    if INDEX not in files.sizes and "model.safetensors" in files.sizes:
        return ("model.safetensors",)
    return tuple(sorted(name for name in _safetensors(files) if not _matches(name, _OTHER_WEIGHTS)))


def header_piece(files: Files, shards: int) -> int:
    """Bytes that hold nearly every header of the shards, so that one request each will do.

    A header takes one and a half times the bytes per tensor that the index takes, and the hub tells the size of that.
    """
    share = 2 * files.sizes.get(INDEX, 0) // max(1, shards)
    return min(max(FIRST_PIECE, -(-share // FIRST_PIECE) * FIRST_PIECE), 4 * MIB)


def companions(files: Files) -> tuple[str, ...]:
    """Configuration, tokenizer and templates; never code."""
    names = (name for name in files.sizes if "/" not in name or name.startswith("additional_chat_templates/"))
    return tuple(sorted(name for name in names if _matches(name, _COMPANIONS) and not _matches(name, _NOT_NEEDED)))


def needed(files: Files, index: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """All that a safetensors engine wants to find in the folder."""
    listed = (INDEX,) if INDEX in files.sizes else ()
    return (*weight_files(files, index), *listed, *companions(files))


def gguf_sets(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Models among GGUF files, by their first file: one file each, or the parts of a split one in order.

    Projectors of vision models and calibration data are no models.
    """
    sets: dict[str, list[str]] = {}
    for name in sorted(name for name in names if name.lower().endswith(".gguf")):
        if not any(word in name.lower() for word in ("mmproj", "imatrix")):
            sets.setdefault(_PART.sub("", name), []).append(name)
    return {parts[0]: tuple(parts) for parts in sets.values()}


def expected_parts(name: str) -> tuple[str, ...]:
    """The names of all parts of a split GGUF file, from the name of any of them; the name alone if it is not split."""
    part = _PART.search(name)
    if part is None:
        return (name,)
    count = part.group(2)
    head, tail = name[: part.start()], name[part.end() :]
    return tuple(f"{head}-{number:05d}-of-{count}{tail}" for number in range(1, int(count) + 1))


def _indexed(files: Files, index: Mapping[str, str]) -> tuple[str, ...]:
    shards = sorted(set(index.values()))
    missing = [name for name in shards if name not in files.sizes]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = f"lacks {', '.join(missing[:3])}{more}, which {INDEX} names"
        raise broken(files.where, what, missing_files=missing)
    return tuple(shards)


def _safetensors(files: Files) -> list[str]:
    return [name for name in files.sizes if name.endswith(".safetensors") and "/" not in name]


def _no_weights(files: Files) -> UsageError:
    found = _safetensors(files)
    pickles = sorted(name for name in files.sizes if _matches(name, _PICKLES))
    if found:
        kind = "adapter" if fnmatchcase(found[0], "adapter*") else "consolidated file"
        return UsageError(
            f"{files.where} holds only an {kind} ({found[0]}), not a whole model."
            if kind == "adapter"
            else f"{files.where} holds only {found[0]}, a layout that the engines do not read.",
            hint="Name the model that it belongs to.",
            code="no_weights",
        )
    ggufs = list(gguf_sets(files.sizes))
    if ggufs:
        return UsageError(
            f"{files.where} has GGUF files only.",
            hint=f"Name the one that you want: {files.where}:{ggufs[0]}",
            code="no_weights",
        )
    if pickles:
        return UsageError(
            f"{files.where} has only pickle weights ({pickles[0]}), which can run code when they are loaded.",
            hint="Look for a safetensors or GGUF version of this model.",
            code="no_weights",
        )
    return UsageError(
        f"{files.where} has no weights: neither safetensors nor GGUF files.",
        hint="Name a folder or a repository with a complete model; `llmserve models` lists some.",
        code="no_weights",
    )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
