"""What the metadata of a GGUF file says about a model's shape."""

from __future__ import annotations

from llmserve.models.architecture import families
from llmserve.models.architecture.fields import Fields
from llmserve.models.architecture.gguf_cache import cache_layers
from llmserve.models.architecture.layer_kinds import layer_count
from llmserve.models.architecture.shape import Architecture
from llmserve.models.headers import ggml
from llmserve.models.headers.blob import broken
from llmserve.models.headers.gguf import Header
from llmserve.models.layers import AttentionLayers, CacheLayers, Experts
from llmserve.models.model import Task

_RANK = 4  # llama.cpp's pooling type of rerankers; 1 to 3 pool embeddings


def from_gguf(header: Header, where: str) -> Architecture:
    """Read the metadata of a GGUF file.

    Raises:
        LlmserveError: ``broken_checkpoint``, naming the key that is missing or senseless.
    """
    name = header.metadata.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise broken(where, "does not say 'general.architecture'")
    fields = Fields(header.metadata, where, prefix=f"{name}.")
    written, mtp = layer_count(fields, "block_count"), fields.count("nextn_predict_layers")
    if mtp >= written:
        raise fields.senseless(f"{name}.nextn_predict_layers")
    layers, hidden = written - mtp, fields.number("embedding_length")
    reads_at_once = fields.get("attention.causal") is False or families.encoder(name)
    cache = () if reads_at_once else cache_layers(fields, name, layers, written)
    heads, kv_heads, head_dim = _heads(fields, cache, hidden)
    dtype, quantization = _types(header)
    return Architecture(
        name=name,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        hidden_size=hidden,
        intermediate_size=fields.count("feed_forward_length"),
        vocab_size=header.lengths.get("tokenizer.ggml.tokens") or fields.number("vocab_size"),
        context_length=fields.number("context_length"),
        dtype=dtype,
        quantization=quantization,
        task=_task(fields, reads_at_once),
        model_type=name,
        familiar=families.familiar(name),
        cache=cache,
        experts=_experts(fields, layers),
        tied_embeddings=bool(header.table) and "output.weight" not in header.table,
        mtp_layers=mtp,
    )


def _heads(fields: Fields, cache: tuple[CacheLayers, ...], hidden: int) -> tuple[int, int, int]:
    """Query heads, key heads and their width in the layers that see everything; zeros without attention."""
    groups = [group for group in cache if isinstance(group, AttentionLayers)]
    heads = fields.count("attention.head_count")
    if not heads and cache and not groups:
        return 0, 0, 0
    heads = fields.number("attention.head_count")
    groups = [group for group in groups if group.window is None] or groups
    if groups:
        main = max(groups, key=lambda group: group.kv_heads)
        return heads, main.kv_heads, max(main.key_dim, main.value_dim)
    size = fields.number("attention.key_length_mla", "attention.key_length", default=max(1, hidden // heads))
    return heads, fields.number("attention.head_count_kv", default=heads), size


def _task(fields: Fields, reads_at_once: bool) -> Task:
    pooling = fields.get("pooling_type")
    if pooling == _RANK:
        return "reward"
    return "embed" if (pooling or reads_at_once) and type(pooling) is int else "generate"


def _experts(fields: Fields, layers: int) -> Experts | None:
    routed = fields.count("expert_count")
    if routed < 2:
        return None
    wide = fields.count("expert_shared_feed_forward_length")
    step = fields.number("interleave_moe_layer_step", "moe_every_n_layers", default=1)
    first = fields.count("leading_dense_block_count")
    return Experts(
        routed=routed,
        active=fields.count("expert_used_count"),
        intermediate_size=fields.number("expert_feed_forward_length", "feed_forward_length"),
        shared=fields.count("expert_shared_count", default=1 if wide else 0),
        dense_layers=sum(i < first or (i + 1) % step != 0 for i in range(layers)),
    )


def _types(header: Header) -> tuple[str, str | None]:
    """dtype of the cache, and the name of the mixture (None where nothing is quantised)."""
    number = header.metadata.get("general.file_type")
    sizes = header.bytes_by_type
    name = ggml.FILE_TYPES.get(number) if type(number) is int else None
    name = name or max(sizes, key=lambda kind: sizes[kind], default="unknown")
    return (ggml.PLAIN[name], None) if name in ggml.PLAIN else ("float16", name)
