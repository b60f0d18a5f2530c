"""From a candidate to a ``Model``: everything that headers and configuration say, before any weights are fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from llmserve.errors import UsageError
from llmserve.models import architecture, builtin, files, gguf, hub_cache, safetensors, variants
from llmserve.models.architecture import Architecture
from llmserve.models.blob import Blob, LocalBlob, broken
from llmserve.models.builtin import spec
from llmserve.models.files import Files, Folder
from llmserve.models.model import Candidate, File, Format, Model, Source

if TYPE_CHECKING:
    from llmserve.models.hub_api import Hub

_AT_ONCE = 8  # header requests to a hub
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_NOT_MODELS = ("adapter", "mmproj", "imatrix")

Answer = TypeVar("Answer")


def describe(candidate: Candidate, format: Format, *, hub: Hub | None = None) -> Model:  # noqa: A002
    """Describe one format of a candidate. A hub is asked only if the model is not completely in the cache.

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
    source = candidate.source(format)
    if source.builtin:
        return _builtin(candidate, source)
    if source.path:
        return _local(candidate, source, Path(source.path))
    return _cached(candidate, source) or _remote(candidate, source, hub)


def _builtin(candidate: Candidate, source: Source) -> Model:
    path = builtin.folder() / spec.GGUF_FILE if source.format == "gguf" else builtin.folder()
    shape = Architecture(
        name="llama" if source.format == "gguf" else spec.ARCHITECTURE,
        layers=spec.LAYERS,
        heads=spec.HEADS,
        kv_heads=spec.KV_HEADS,
        head_dim=spec.HEAD_DIM,
        hidden_size=spec.HIDDEN,
        intermediate_size=spec.INTERMEDIATE,
        vocab_size=spec.VOCABULARY,
        context_length=spec.CONTEXT,
        attention="gqa",
        dtype="float16" if source.format == "gguf" else "bfloat16",
    )
    norms = 4 if source.format == "gguf" else 2  # GGUF keeps the norms in float32
    weights = 2 * spec.parameters(norms=False) + norms * spec.parameters(norms=True)
    return replace(_model(candidate, source, shape, weights), random_weights=True, path=str(path))


def _local(candidate: Candidate, source: Source, path: Path) -> Model:
    if source.format == "safetensors":
        here = Folder(path)
        return replace(_safetensors(candidate, source, here, files.needed(here)), path=str(path))
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
    names = files.needed(here)
    model = _safetensors(candidate, found, here, names)
    return replace(model, path=str(folder), revision=folder.name, files=_files(here, names))


def _remote(candidate: Candidate, source: Source, hub: Hub | None) -> Model:
    from llmserve.models.hub_api import Hub, HubFiles

    hub = hub or Hub()
    there = HubFiles(hub, hub.listing(source.repo or "", source.revision))
    if source.format == "gguf":
        names = variants.choose(source, there.sizes)
        model = _gguf(candidate, replace(source, file=names[0]), [there.blob(name) for name in names])
    else:
        names = files.needed(there)
        model = _safetensors(candidate, source, there, names)
    return replace(model, revision=there.listing.commit, files=_files(there, names), missing_bytes=there.missing(names))


def _safetensors(candidate: Candidate, source: Source, where: Files, names: tuple[str, ...]) -> Model:
    shape = architecture.from_config(files.read_json(where, "config.json"), f"{where.where}/config.json")
    if not files.has_tokenizer(where):
        raise broken(where.where, "has no tokenizer (tokenizer.json, tokenizer.model or vocab.json)")
    weights = [where.blob(name) for name in names if name.endswith(".safetensors")]
    sizes = _added(header.bytes_by_dtype for header in _each(safetensors.read_header, weights))
    main = max(sizes, key=lambda dtype: sizes[dtype], default="")
    shape = replace(shape, dtype=shape.dtype or _DTYPES.get(main, main.lower() or "unknown"))
    return replace(_model(candidate, source, shape, sum(sizes.values())), chat_template=_has_template(where))


def _gguf(candidate: Candidate, source: Source, blobs: Sequence[Blob]) -> Model:
    headers = _each(gguf.read_header, blobs)
    kind = headers[0].metadata.get("general.type")
    if kind in _NOT_MODELS:
        raise UsageError(
            f"{blobs[0].name} holds a part of a model ({kind}), not a model.",
            hint="Name the model that it belongs to.",
            code="no_weights",
        )
    if not headers[0].lengths.get("tokenizer.ggml.tokens"):
        raise broken(blobs[0].name, "has no tokenizer ('tokenizer.ggml.tokens')")
    sizes = _added(header.bytes_by_type for header in headers)
    shape = architecture.from_gguf(replace(headers[0], bytes_by_type=sizes), blobs[0].name)
    template = "tokenizer.chat_template" in headers[0].metadata
    return replace(_model(candidate, source, shape, sum(sizes.values())), chat_template=template)


def _has_template(where: Files) -> bool:
    if any(name in where.sizes for name in ("chat_template.jinja", "chat_template.json")):
        return True
    return "tokenizer_config.json" in where.sizes and bool(
        files.read_json(where, "tokenizer_config.json").get("chat_template")
    )


def _model(candidate: Candidate, source: Source, shape: Architecture, weight_bytes: int) -> Model:
    return Model(
        ref=candidate.ref,
        name=candidate.name,
        source=source,
        architecture=shape.name,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        hidden_size=shape.hidden_size,
        vocab_size=shape.vocab_size,
        context_length=shape.context_length,
        dtype=shape.dtype,
        weight_bytes=weight_bytes,
        attention=shape.attention,
        intermediate_size=shape.intermediate_size,
        quantization=shape.quantization,
        tool_call_parser=candidate.tool_call_parser,
        reasoning_parser=candidate.reasoning_parser,
    )


def _files(where: Files, names: Iterable[str]) -> tuple[File, ...]:
    return tuple(File(name=name, size_bytes=where.sizes[name]) for name in names)


def _added(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    return dict(total)


def _each(read: Callable[[Blob], Answer], blobs: Sequence[Blob]) -> list[Answer]:
    """Read several headers; those of a hub at the same time."""
    if len(blobs) == 1 or all(isinstance(blob, LocalBlob) for blob in blobs):
        return [read(blob) for blob in blobs]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(read, blobs))
