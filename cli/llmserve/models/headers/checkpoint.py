"""A safetensors checkpoint as its configuration, its index and its headers describe it, with few waits on a hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from llmserve.models import architecture, files
from llmserve.models.architecture import Architecture
from llmserve.models.files import Files
from llmserve.models.headers import safetensors, table
from llmserve.models.headers.ahead import Ahead
from llmserve.models.headers.blob import broken
from llmserve.models.headers.table import Table

_EMBEDDERS = "modules.json"  # of sentence-transformers
_OTHER_WIDTHS = ("word_embed_proj_dim", "embedding_size")  # models whose embedding is narrower than their layers


@dataclass(frozen=True)
class Checkpoint:
    """``names`` are the files that serving needs."""

    shape: Architecture
    tensors: Table
    names: tuple[str, ...]
    chat_template: bool


def read(where: Files, *, at_once: int = 0, tokenizer: bool = True) -> Checkpoint:
    """Read and check all that describes the weights. ``at_once``: requests at the same time (0: files on this disk).

    A ``tokenizer`` must be there for serving, and not for planning.

    Raises:
        UsageError: ``no_weights``; see ``files.weight_files``.
        LlmserveError: ``broken_checkpoint``: files are damaged or missing, or they contradict each other.
    """
    with Ahead(at_once) as ahead:
        index_of = ahead.start(partial(files.read_index, where), again=False)  # megabytes
        config_of = ahead.start(partial(files.read_json, where, "config.json"))
        template_of = ahead.start(partial(files.has_template, where))
        headers = _Headers(where, ahead)
        headers.begin(files.likely_weights(where))
        index = index_of()
        names = files.needed(where, index)
        config = config_of()
        shape = architecture.from_config(config, f"{where.where}/config.json")
        if tokenizer and not files.has_tokenizer(where):
            raise broken(where.where, "has no tokenizer (tokenizer.json, tokenizer.model or vocab.json)")
        tables = headers.tables(files.weight_files(where, index))
        template = template_of()
    own_head = has_own_head(where, config, shape)
    checked = _checked(tables, where.where, index=index, shape=shape, config=config, own_head=own_head)
    return Checkpoint(shape, checked, names, template)


class _Headers:
    """The headers of the shards; those of a hub are asked for before it is sure that they are wanted."""

    def __init__(self, where: Files, ahead: Ahead) -> None:
        self.where = where
        self.ahead = ahead
        self.texts: dict[str, Callable[[], bytes]] = {}

    def begin(self, names: Iterable[str]) -> None:
        new = [name for name in names if name not in self.texts]
        first = files.header_piece(self.where, len(new))
        for name in new:
            self.texts[name] = self.ahead.start(partial(safetensors.read, self.where.blob(name), first))

    def tables(self, names: Iterable[str]) -> dict[str, Table]:
        names = tuple(names)
        self.begin(names)
        return {name: safetensors.parse(self.where.blob(name), self.texts[name]()).table for name in names}


def _checked(
    tables: Mapping[str, Table], where: str, *, index: Mapping[str, str] | None, shape: Architecture,
    config: Mapping[str, Any], own_head: bool,
) -> Table:  # fmt: skip
    tensors = table.joined(tables, where)
    if index:
        table.check_index(index, tables, where)
    if shape.familiar:
        width = next((config[name] for name in _OTHER_WIDTHS if config.get(name)), shape.hidden_size)
        table.check_shape(tensors, where, layers=shape.layers, vocab_size=shape.vocab_size, hidden_size=width)
        if own_head:
            table.check_head(tensors, where)
    return tensors


def has_own_head(where: Files, config: Mapping[str, Any], shape: Architecture) -> bool:
    """Whether a configuration says so itself; families whose default it is, and embedders, may leave the tensor out."""
    kind = next(iter(config.get("architectures") or ()), "")
    sections = (config, config.get("text_config"), config.get("llm_config"), config.get("language_config"))
    said = [section.get("tie_word_embeddings") for section in sections if isinstance(section, Mapping)]
    generates = shape.task == "generate" and _EMBEDDERS not in where.sizes
    named = str(kind).endswith(("ForCausalLM", "ForConditionalGeneration"))
    return generates and named and False in said and True not in said
