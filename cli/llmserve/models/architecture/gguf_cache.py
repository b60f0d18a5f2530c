"""What the layers of a model keep between tokens, from the metadata of a GGUF file.

Sources: ``constants.py`` of the gguf package for the names, ``llama-model.cpp`` for what files leave out.
"""

from __future__ import annotations

from llmserve.models.architecture.cache_layout import grouped
from llmserve.models.architecture.fields import Fields
from llmserve.models.architecture.head_shapes import HeadShape
from llmserve.models.architecture.layer_kinds import Kind, every
from llmserve.models.layers import CacheLayers, LatentLayers, StateLayers

_PERIODS = {  # every n-th layer sees everything
    "gemma2": 2, "gemma3": 6, "gemma-embedding": 6, "gpt-oss": 2, "cohere2": 4, "olmo2": 4, "exaone4": 4,
    "exaone-moe": 4, "llama4": 4, "afmoe": 4,
}  # fmt: skip
_FIRST_FULL = {"smallthinker": 4, "modern-bert": 3}
_CHUNK = 8192  # Llama 4: not in the file
_LINEAR = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}  # full attention in every n-th layer


def cache_layers(fields: Fields, architecture: str, layers: int, written: int) -> tuple[CacheLayers, ...]:
    """Groups of layers that keep the same; lists in the file have ``written`` entries, MTP layers among them."""
    heads = _per_layer(fields, "attention.head_count_kv", written, fields.count("attention.head_count"))[:layers]
    found = _kinds(fields, architecture, heads, written)
    groups: list[CacheLayers] = []
    if fields.get("attention.key_length_mla") is not None:
        groups += _latent(fields, sum(kind in ("full", "both") for kind in found))
    else:
        groups += grouped(_shapes(fields, architecture, found, heads), _shared(fields, layers))
    states = sum(kind in ("state", "both") for kind in found)
    return (*groups, _state(fields, architecture, states)) if states else tuple(groups)


def _kinds(fields: Fields, architecture: str, heads: list[int], written: int) -> list[Kind]:
    layers = len(heads)
    if not _stateful(fields):
        return _windows(fields, architecture, heads, written)
    if architecture in _LINEAR and all(heads):
        return every(layers, fields.number("full_attention_interval", default=_LINEAR[architecture]), "state")
    if all(heads):
        return ["both"] * layers  # Falcon-H1
    wide = _per_layer(fields, "feed_forward_length", written, 0)[:layers]
    mlp = architecture.startswith("nemotron_h")  # its layers are one thing only
    return ["full" if heads[i] else "none" if mlp and wide[i] else "state" for i in range(layers)]


def _stateful(fields: Fields) -> bool:
    return any(fields.get(name) is not None for name in ("ssm.conv_kernel", "shortconv.l_cache", "wkv.head_size"))


def _windows(fields: Fields, architecture: str, heads: list[int], written: int) -> list[Kind]:
    """llama.cpp may read a window (phi3), but lets layers see everything unless it knows of a pattern."""
    layers = len(heads)
    pattern = fields.get("attention.sliding_window_pattern")
    found: list[Kind] = ["full"] * layers
    if _window(fields, architecture) is None:
        pass
    elif isinstance(pattern, (list, tuple)) and pattern:
        flags = fields.listed("attention.sliding_window_pattern", written) or []
        found = ["window" if flag else "full" for flag in flags[:layers]]
    elif architecture in _FIRST_FULL:
        found = every(layers, _FIRST_FULL[architecture], "window", 0)
    elif architecture in _PERIODS or type(pattern) is int:
        period = fields.number("attention.sliding_window_pattern", default=_PERIODS.get(architecture))
        found = every(layers, period, "window")
    return [kind if heads[i] else "none" for i, kind in enumerate(found)]


def _window(fields: Fields, architecture: str) -> int | None:
    chunk = _CHUNK if architecture == "llama4" else 0
    return fields.count("attention.sliding_window", default=fields.count("attention.chunk_size", default=chunk)) or None


def _shapes(fields: Fields, architecture: str, found: list[Kind], heads: list[int]) -> list[HeadShape | None]:
    default = max(1, fields.number("embedding_length") // max(1, fields.count("attention.head_count", default=1)))
    key = fields.number("attention.key_length", default=default)
    value = fields.number("attention.value_length", default=default)
    narrow_key = fields.number("attention.key_length_swa", default=key)
    narrow_value = fields.number("attention.value_length_swa", default=value)
    size = _window(fields, architecture)
    table: dict[Kind, tuple[int, int, int | None]] = {
        "full": (key, value, None), "both": (key, value, None), "window": (narrow_key, narrow_value, size),
    }  # fmt: skip
    return [HeadShape(heads[i], *table[kind]) if kind in table else None for i, kind in enumerate(found)]


def _latent(fields: Fields, layers: int) -> list[LatentLayers]:
    sparse = fields.get("attention.indexer.top_k") is not None
    latent = LatentLayers(
        layers=layers,
        latent_dim=fields.number("attention.kv_lora_rank"),
        rope_dim=fields.count("rope.dimension_count"),
        index_dim=fields.number("attention.indexer.key_length") if sparse else 0,
        index_layers=layers if sparse else 0,
    )
    return [latent] if layers else []


def _shared(fields: Fields, layers: int) -> list[bool]:
    own = layers - fields.count("attention.shared_kv_layers")
    if own < 0:
        raise fields.senseless(f"{fields.prefix}attention.shared_kv_layers")
    return [i >= own for i in range(layers)]


def _state(fields: Fields, architecture: str, layers: int) -> StateLayers:
    hidden, kernel = fields.number("embedding_length"), fields.number("ssm.conv_kernel", default=1)
    if fields.get("shortconv.l_cache") is not None:
        return StateLayers(layers=layers, kind="conv", inner=hidden, kernel=fields.number("shortconv.l_cache"))
    if fields.get("wkv.head_size") is not None:
        size = fields.number("wkv.head_size")
        tokens = fields.number("token_shift_count", default=2)
        return StateLayers(
            layers=layers, kind="rwkv", inner=hidden, heads=hidden // size, head_dim=size, state_dim=size,
            kernel=tokens + 1,
        )  # fmt: skip
    if fields.get("kda.head_dim") is not None:
        heads, size = fields.number("attention.head_count"), fields.number("kda.head_dim")
        return StateLayers(
            layers=layers, kind="kda", inner=heads * size, groups=heads, heads=heads, head_dim=size, state_dim=size,
            kernel=kernel,
        )  # fmt: skip
    inner, groups = fields.number("ssm.inner_size"), fields.count("ssm.group_count")
    heads = fields.number("ssm.time_step_rank") if groups else inner  # without groups it is the first Mamba
    kind = "gdn" if architecture in _LINEAR else "mamba2" if groups else "mamba1"
    return StateLayers(
        layers=layers, kind=kind, inner=inner, groups=groups, heads=heads, head_dim=max(1, inner // heads),
        state_dim=fields.number("ssm.state_size"), kernel=kernel,
    )  # fmt: skip


def _per_layer(fields: Fields, name: str, written: int, default: int) -> list[int]:
    """A figure of each layer, checked; most files give one number for all."""
    largest = fields.count(name, default=default)
    listed = fields.listed(name, written) if isinstance(fields.get(name), (list, tuple)) else None
    return listed if listed is not None else [largest] * written
