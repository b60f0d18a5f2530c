"""What a cached model is: its format and quantisation, and whether all that serving needs is there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserve.errors import LlmserveError
from llmserve.models import files, variants
from llmserve.models.architecture.quantization import quantization
from llmserve.models.house import Entry, Snapshot
from llmserve.models.hub import cache as hub_cache
from llmserve.models.model import Source

_GGUF = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d+(?:_[0-9A-Z]+)*|TQ\d_\d|B?F16|F32|MXFP4(?:_[A-Z]+)*))(?=[-./]|$)", re.IGNORECASE
)
_SHORT = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "compressed-tensors": "compressed"}
_LARGEST_CONFIG = 16 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Condition:
    """``format`` is ``safetensors``, ``gguf``, ``pickle`` or empty; ``quantizations`` what is in the files."""

    format: str = ""
    quantizations: tuple[str, ...] = ()
    complete: bool = False

    @property
    def words(self) -> str:
        return " ".join(filter(None, (self.format, ", ".join(self.quantizations)))) or "-"


def condition(entry: Entry) -> Condition:
    """The condition of the snapshot that would be served: that of ``main``, else the newest."""
    snapshot = served(entry)
    if snapshot is None:
        return Condition()
    here = {file.name: file.size_bytes for file in snapshot.files if file.size_bytes is not None}
    sets = files.gguf_sets(here)
    if sets:
        whole = [parts for first, parts in sets.items() if set(files.expected_parts(first)) <= set(here)]
        unfinished = len(whole) < len(sets) or entry.partials
        found = tuple(dict.fromkeys(_gguf_kind(parts[0]) for parts in whole or sets.values()))
        return Condition(format="gguf", quantizations=found, complete=bool(whole) and not unfinished)
    config = _config(snapshot.path / "config.json")
    if any(name.endswith(".safetensors") for name in here) or ("config.json" in here and not _pickles(here)):
        listed = hub_cache.listing(entry.repo, snapshot.commit)
        source = Source(format="safetensors", repo=entry.repo, revision=snapshot.commit)
        whole_model = variants.complete(source, snapshot.path, listed)
        return Condition(format="safetensors", quantizations=_kinds(config), complete=whole_model)
    return Condition(
        format="pickle" if _pickles(here) else "", quantizations=_kinds(config), complete=_all(entry, snapshot, here)
    )


def served(entry: Entry) -> Snapshot | None:
    main = [snapshot for snapshot in entry.snapshots if "main" in snapshot.refs]
    return main[0] if main else entry.snapshots[-1] if entry.snapshots else None


def _all(entry: Entry, snapshot: Snapshot, here: Mapping[str, int | None]) -> bool:
    """Whether a model that llmserve does not serve is all there, as far as can be known."""
    listed = hub_cache.listing(entry.repo, snapshot.commit)
    return not entry.partials and len(here) == len(snapshot.files) > 0 and (listed is None or set(listed) <= set(here))


def _gguf_kind(name: str) -> str:
    found = _GGUF.findall(name.removesuffix(".gguf"))
    return found[-1].upper() if found else "?"


def _kinds(config: Mapping[str, Any]) -> tuple[str, ...]:
    text = config.get("text_config")
    text = text if isinstance(text, dict) else {}
    try:
        method = quantization(config).method or quantization(text).method
    except LlmserveError:  # a list of models is no place to refuse one
        method = "?"
    kind = method or next(
        (place[key] for place in (config, text) for key in ("torch_dtype", "dtype") if key in place), ""
    )
    return (_SHORT.get(kind, kind),) if kind and isinstance(kind, str) else ()


def _pickles(here: Mapping[str, int | None]) -> bool:
    return any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in here)


def _config(path: Path) -> dict[str, Any]:
    """A small JSON file, read without noting that: to list models is not to use them."""
    try:
        with os.fdopen(open_quietly(path), "rb") as file:
            content = json.loads(file.read(_LARGEST_CONFIG))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def open_quietly(path: Path) -> int:
    """A descriptor through which reading does not change the time of last access, where the system allows that."""
    quiet = getattr(os, "O_NOATIME", 0)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | quiet)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
