"""The tensors of a checkpoint by name, out of all its headers: added up by role, and held against the configuration."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from llmserve.models.headers.blob import broken
from llmserve.models.tensors import Role, TensorGroup, role

_EXPERTS = ".experts."
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|blk)\.(\d+)\.")
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "token_embd.weight")
_HEAD = re.compile(r"head|output|embed_out|score|classifier")
_PLAIN = ("BF16", "F16", "F32")


class Tensor(NamedTuple):
    """``shape`` has the rows of a matrix first; ``size_bytes`` is what the file holds."""

    dtype: str
    size_bytes: int
    shape: Sequence[int]


Table = Mapping[str, Tensor]


@contextmanager
def without_collection() -> Iterator[None]:
    """For work on large tables: they have no cycles, and to look for some among them takes longer than to read them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def joined(tables: Mapping[str, Table], where: str) -> Table:
    """One table out of those of several files.

    Raises:
        LlmserveError: ``broken_checkpoint``: two files hold the same tensor.
    """
    if len(tables) == 1:
        return next(iter(tables.values()))
    found: dict[str, Tensor] = {}
    for table in tables.values():
        found.update(table)
    if len(found) < sum(len(table) for table in tables.values()):
        raise _twice(tables, where)
    return found


def groups(table: Table, *, layers: int, mtp_layers: int = 0) -> tuple[TensorGroup, ...]:
    """The bytes of each role and type, the largest first."""
    sizes: dict[tuple[Role, str], int] = {}
    known: dict[str, Role] = {}
    for name, (dtype, size, _) in table.items():
        alike = _alike(name)
        found = known.get(alike)
        if found is None:
            found = known[alike] = role(alike, layers=layers, mtp_layers=mtp_layers)
        key = found, dtype
        sizes[key] = sizes.get(key, 0) + size
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return tuple(TensorGroup(role=part, dtype=dtype, size_bytes=size) for (part, dtype), size in ranked)


def by_dtype(tensors: Iterable[TensorGroup]) -> dict[str, int]:
    """Bytes of each stored type."""
    sizes: Counter[str] = Counter()
    for group in tensors:
        sizes[group.dtype] += group.size_bytes
    return dict(sizes)


def check_index(index: Mapping[str, str], tables: Mapping[str, Table], where: str) -> None:
    """Hold the index of a checkpoint against the headers of its files. Tensors that it does not list are fine.

    Raises:
        LlmserveError: ``broken_checkpoint``: a file lacks a tensor that the index says it has.
    """
    for name, file in index.items():
        if name not in tables[file]:
            other = next((found for found, table in tables.items() if name in table), None)
            place = f"it is in {other}" if other else "no file has it"
            raise broken(where, f"contradicts itself: the index puts {name!r} into {file}, but {place}", tensor=name)


def check_shape(table: Table, where: str, *, layers: int, vocab_size: int, hidden_size: int) -> None:
    """Hold the tensors against the configuration, as far as that can be done for any architecture.

    Padded vocabularies have more rows than tokens, and layers for multi-token prediction come on top of the others.

    Raises:
        LlmserveError: ``broken_checkpoint``: layers are missing, or the embedding has another size.
    """
    check_layers(table, where, layers=layers)
    for name in _embeddings(table):
        rows, columns = table[name].shape
        if columns != hidden_size or rows < vocab_size:
            what = f"contradicts its configuration: {name!r} is {rows} x {columns}, not {vocab_size} x {hidden_size}"
            raise broken(where, what, tensor=name)


def check_layers(names: Collection[str], where: str, *, layers: int) -> None:
    """Raises LlmserveError, ``broken_checkpoint``: some of the ``layers`` are not among the ``names`` of tensors."""
    there = _layers(name for name in names if _EXPERTS not in name)
    if not there or there.issuperset(range(layers)) or (there := _layers(names)).issuperset(range(layers)):
        return
    what, last = f"contradicts its configuration: that says {layers} layers, and the weights", max(there)
    if last < layers - 1:
        raise broken(where, f"{what} end with layer {last + 1}")
    if 0 in there:  # else they are numbered in a way that is not known
        raise broken(where, f"{what} lack layer {min(set(range(layers)) - there) + 1}")


def check_head(names: Collection[str], where: str) -> None:
    """For a model that is known to have an output layer of its own.

    Checkpoints of embedders may be saved without one: they lack the ``model.`` before the names of their tensors too.

    Raises:
        LlmserveError: ``broken_checkpoint``: there is an embedding and no output layer; an engine would start with
            whatever the memory held, and answer noise.
    """
    whole = any("model." in name and name.endswith(_EMBEDDINGS) and not _LAYER.search(name) for name in names)
    if whole and not any(_HEAD.search(name) for name in names if not _LAYER.search(name)):
        what = "contradicts its configuration: that says tie_word_embeddings is false, and there is no lm_head"
        raise broken(where, what, tensor="lm_head.weight")


def _alike(name: str) -> str:
    """The name with every expert called the same: a large model has hundreds in each layer."""
    head, experts, tail = name.partition(_EXPERTS)
    return f"{head}{experts}0.{tail.partition('.')[2]}" if tail[:1].isdigit() else name


def _layers(names: Iterable[str]) -> set[int]:
    """The numbers of layers that occur, from 0 on."""
    return {int(match.group(1)) for name in names if (match := _LAYER.search(name))}


def _embeddings(table: Table) -> list[str]:
    """The token embedding, unless several tensors have such a name: then nobody knows which the vocabulary is for."""
    names = [name for name in table if name.endswith(_EMBEDDINGS) and not _LAYER.search(name)]
    plain = [name for name in names if table[name].dtype in _PLAIN and len(table[name].shape) == 2]
    return plain if len(names) == 1 else []


def _twice(tables: Mapping[str, Table], where: str) -> Exception:
    places: dict[str, str] = {}
    for file, table in tables.items():
        for name in table:
            if name in places:
                return broken(where, f"contradicts itself: {name!r} is in {places[name]} and in {file}", tensor=name)
            places[name] = file
    raise AssertionError("no tensor is there twice")
