"""From a candidate to a ``Model``: everything that headers and configuration say, before any weights are fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from llmserve.errors import LlmserveError, UsageError
from llmserve.models import architecture, assembly, builtin, files, kinship, unseen, variants
from llmserve.models.architecture import Architecture
from llmserve.models.builtin import spec
from llmserve.models.files import Files, Folder
from llmserve.models.headers import checkpoint, table
from llmserve.models.headers.ahead import Ahead
from llmserve.models.headers.blob import Blob, LocalBlob, broken
from llmserve.models.headers.table import Table, Tensor
from llmserve.models.hub import cache as hub_cache
from llmserve.models.model import Candidate, File, Format, Model, Source

if TYPE_CHECKING:
    from llmserve.models.hub.api import Hub

_NOT_MODELS = ("adapter", "mmproj", "imatrix")


def describe(
    candidate: Candidate,
    format: Format,  # noqa: A002 - the word of the field
    *,
    hub: Hub | None = None,
    planning: bool = False,
) -> Model:
    """Describe one format of a candidate. A hub is asked only if the model is not completely in the cache.

    With ``planning`` a model is also described where its weights are out of reach: from a folder with a configuration
    alone, or from the figures of a recipe where the hub cannot be asked. ``Model.basis`` then says so; such a model can
    be planned, and not be served.

    Raises:
        UsageError: the candidate does not exist in this format, or holds no weights that can be served.
        LlmserveError: ``broken_checkpoint``: files are damaged or missing; ``hub_unreachable`` and its relatives.
        NeedsAccessError: the hub wants a licence accepted, or a token.
    """
    if format not in candidate.formats:
        raise UsageError(
            f"{candidate.name} does not exist as {format}, only as {' and '.join(candidate.formats)}.",
            hint="Choose the other engine with --engine, or another model: `llmserve models`.",
            code="no_such_format",
        )
    return kinship.inherit(candidate, _described(candidate, candidate.source(format), hub, planning=planning))


def _described(candidate: Candidate, source: Source, hub: Hub | None, *, planning: bool) -> Model:
    if source.builtin:
        return _builtin(candidate, source)
    if source.path:
        return _local(candidate, source, Path(source.path), planning=planning)
    try:
        return _cached(candidate, source) or _remote(candidate, source, hub)
    except LlmserveError as error:
        known = unseen.from_recipe(candidate, source) if planning and error.code in unseen.OUT_OF_REACH else None
        if known is None:
            raise
        return known


def _builtin(candidate: Candidate, source: Source) -> Model:
    path = builtin.folder() / spec.GGUF_FILE if source.format == "gguf" else builtin.folder()
    shape = architecture.from_config(spec.config(), candidate.name)
    matrices, norms = "BF16", "BF16"
    if source.format == "gguf":
        shape = replace(shape, name="llama", dtype="float16")
        matrices, norms = "F16", "F32"
    sizes = {"BF16": 2, "F16": 2, "F32": 4}
    tensors = {
        name: Tensor(dtype, sizes[dtype] * prod(form), form)
        for name, form in spec.shapes().items()
        for dtype in (norms if len(form) == 1 else matrices,)
    }
    return replace(_model(candidate, source, shape, tensors), random_weights=True, path=str(path))


def _local(candidate: Candidate, source: Source, path: Path, *, planning: bool) -> Model:
    if source.format == "safetensors":
        here = Folder(path)
        if planning and not files.likely_weights(here):
            return replace(unseen.from_folder(candidate, source, here), base_models=kinship.named_by_card(path))
        model, _ = _safetensors(candidate, source, here, tokenizer=not planning)
        return replace(model, path=str(path), base_models=kinship.named_by_card(path))
    parts = [path.with_name(name) for name in files.expected_parts(path.name)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        what = f"is a part of a split model of which others are missing ({', '.join(missing[:3])})"
        raise broken(str(path), what, missing_files=missing)
    return replace(_gguf(candidate, source, [LocalBlob.of(part) for part in parts]), path=str(parts[0]))


def _cached(candidate: Candidate, source: Source) -> Model | None:
    """Describe from the cache alone, if everything that serving needs is there."""
    repo = source.repo or ""
    folder = hub_cache.snapshot(repo, source.revision)
    if folder is None:
        return None
    if not variants.complete(source, folder, hub_cache.listing(repo, source.revision)):
        return None
    here = Folder(folder)
    found = replace(source, revision=folder.name)
    if source.format == "gguf":
        names = variants.choose(source, here.sizes)
        model = _gguf(candidate, replace(found, file=names[0]), [here.blob(name) for name in names])
        return replace(model, path=str(folder / names[0]), revision=folder.name, files=_files(here, names))
    model, names = _safetensors(candidate, found, here)
    return replace(model, path=str(folder), revision=folder.name, files=_files(here, names))


def _remote(candidate: Candidate, source: Source, hub: Hub | None) -> Model:
    from llmserve.models.hub.api import AT_ONCE, Hub, HubFiles

    with closing(hub or Hub()) as asked:
        there = HubFiles(asked, asked.listing(source.repo or "", source.revision))
        if source.format == "gguf":
            names = variants.choose(source, there.sizes)
            blobs = [there.blob(name) for name in names]
            model = _gguf(candidate, replace(source, file=names[0]), blobs, at_once=AT_ONCE)
        else:
            model, names = _safetensors(candidate, source, there, at_once=AT_ONCE)
    commit, missing = there.listing.commit, there.missing(names)
    bases = there.listing.base_models
    return replace(model, revision=commit, files=_files(there, names), missing_bytes=missing, base_models=bases)


def _safetensors(
    candidate: Candidate, source: Source, where: Files, *, at_once: int = 0, tokenizer: bool = True
) -> tuple[Model, tuple[str, ...]]:
    """The model, and the names of the files that serving needs."""
    with table.without_collection():
        found = checkpoint.read(where, at_once=at_once, tokenizer=tokenizer)
        model = _model(candidate, source, found.shape, found.tensors)
    return replace(model, chat_template=found.chat_template), found.names


def _gguf(candidate: Candidate, source: Source, blobs: Sequence[Blob], *, at_once: int = 0) -> Model:
    from llmserve.models.headers import gguf  # most plans are for safetensors

    with Ahead(at_once) as ahead:
        begun = [ahead.start(partial(gguf.read_header, blob), again=False) for blob in blobs]
        headers = [header() for header in begun]
    kind = headers[0].metadata.get("general.type")
    if kind in _NOT_MODELS:
        raise UsageError(
            f"{blobs[0].name} holds a part of a model ({kind}), not a model.",
            hint="Name the model that it belongs to.",
            code="no_weights",
        )
    if not headers[0].lengths.get("tokenizer.ggml.tokens"):
        raise broken(blobs[0].name, "has no tokenizer ('tokenizer.ggml.tokens')")
    whole = gguf.joined(headers, [blob.name for blob in blobs])
    shape = architecture.from_gguf(whole, blobs[0].name)
    if shape.familiar:
        table.check_shape(
            whole.table, blobs[0].name, layers=shape.layers, vocab_size=shape.vocab_size, hidden_size=shape.hidden_size
        )
    template = "tokenizer.chat_template" in whole.metadata
    return replace(_model(candidate, source, shape, whole.table), chat_template=template)


def _model(candidate: Candidate, source: Source, shape: Architecture, tensors: Table) -> Model:
    numbered = shape.layers + (shape.mtp_layers if source.format == "gguf" else 0)  # see tensors.role
    groups = table.groups(tensors, layers=numbered, mtp_layers=shape.mtp_layers)
    return assembly.model(candidate, source, shape, groups)


def _files(where: Files, names: Iterable[str]) -> tuple[File, ...]:
    return tuple(File(name=name, size_bytes=where.sizes[name]) for name in names)
