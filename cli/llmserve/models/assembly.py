"""The ``Model`` record out of what was learnt about one, wherever it was learnt."""

from __future__ import annotations

from llmserve.models.architecture import Architecture
from llmserve.models.headers import table
from llmserve.models.model import Candidate, Model, Source
from llmserve.models.tensors import TensorGroup

_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def model(candidate: Candidate, source: Source, shape: Architecture, tensors: tuple[TensorGroup, ...]) -> Model:
    """A model with everything that its architecture and its tensors say."""
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
        intermediate_size=shape.intermediate_size,
        vocab_size=shape.vocab_size,
        context_length=shape.context_length,
        dtype=shape.dtype or _dtype(tensors),
        quantization=shape.quantization,
        weight_bytes=sum(group.size_bytes for group in tensors),
        tensors=tensors,
        cache=shape.cache,
        task=candidate.task or shape.task,
        model_type=shape.model_type,
        familiar=shape.familiar,
        experts=shape.experts,
        vision=shape.vision,
        tied_embeddings=shape.tied_embeddings,
        mtp_layers=shape.mtp_layers,
        weight_block=shape.weight_block,
        group_size=shape.group_size,
        kv_cache_dtype=shape.kv_cache_dtype,
        tool_call_parser=candidate.tool_call_parser,
        reasoning_parser=candidate.reasoning_parser,
        sampling=candidate.sampling,
        variants=candidate.variants,
    )


def _dtype(tensors: tuple[TensorGroup, ...]) -> str:
    """That of most weights; in a quantised checkpoint, of most that are not (scales are float32)."""
    sizes = table.by_dtype(tensors)
    main = max(sizes, key=lambda dtype: sizes[dtype], default="")
    plain = main if main in _DTYPES else max(("BF16", "F16"), key=lambda dtype: sizes.get(dtype, 0))
    return _DTYPES[plain] if plain in sizes else main.lower() or "unknown"
