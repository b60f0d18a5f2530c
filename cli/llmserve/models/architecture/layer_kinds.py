"""What each layer of a model keeps, in the many ways in which a ``config.json`` says so.

Sources: the configuration classes of transformers and of SGLang 0.5.23 (``srt/configs``), and ``get_hybrid_layer_ids``.
"""

from __future__ import annotations

from typing import Any, Literal

from llmserve.models.architecture.fields import Fields
from llmserve.models.headers.blob import broken

Kind = Literal["full", "window", "state", "both", "none"]
"""Attention to everything, attention to a window, a state of fixed size, attention and a state, or nothing."""

_WORDS: dict[str, Kind] = {
    "full_attention": "full", "attention": "full", "global_attention": "full", "global": "full", "attn": "full",
    "standard": "full", "minicpm": "full", "minicpm4": "full", "indexed_attention": "full",
    "compressed_sparse_attention": "full", "heavily_compressed_attention": "full",
    "sliding_attention": "window", "sliding_window_attention": "window", "local_attention": "window",
    "local": "window", "swa": "window", "chunked_attention": "window", "window_attention": "window",
    "linear_attention": "state", "mamba": "state", "mamba2": "state", "recurrent": "state", "conv": "state",
    "short_conv": "state", "jet": "state", "lightning": "state", "lightning_attn": "state", "lightning-attn": "state",
    "kda": "state", "gdn": "state",
    "hybrid": "both", "moe": "none", "mlp": "none",
}  # fmt: skip
_LETTERS: dict[str, Kind] = {"M": "state", "*": "full", "-": "none", "E": "none"}  # Nemotron-H
_PERIODS = {  # every n-th layer sees everything: the defaults of the classes, which files may leave out
    "gemma2": 2, "gemma3": 6, "gemma3_text": 6, "gemma3n_text": 5, "gemma4_text": 6, "gemma4_unified_text": 6,
    "embedding_gemma2_text": 6, "cohere2": 4, "cohere2_moe": 4, "gpt_oss": 2, "olmo3": 4, "exaone4": 4,
    "exaone_moe": 4, "afmoe": 4,
}  # fmt: skip
_MOST_LAYERS = 10_000  # far beyond any model; lists are made of this length
_FIRST_FULL = {"granite_swa": 4, "granitemoe_swa": 4, "cwm": 4}  # layers 0, n, 2n ...


def kinds(fields: Fields, layers: int) -> list[Kind]:
    """One kind per layer. A word that nobody knows counts as full attention, which keeps the most."""
    for read in (_words, _letters, _flags, _intervals, _indices, _pure, _windows):
        found = read(fields, layers)
        if found is not None:
            return found
    return ["window" if plain_window(fields) else "full"] * layers


def layer_count(fields: Fields, *names: str) -> int:
    """The number of layers; Nemotron-H and others leave it to the length of a list."""
    lists = ("hybrid_override_pattern", "layers_block_type", "layer_types")
    listed = next((value for name in lists if isinstance(value := fields.get(name), (list, str)) and value), None)
    layers = fields.number(*names, default=len(listed) if listed is not None else None)
    if layers > _MOST_LAYERS:
        raise fields.senseless(fields.prefix + names[0])
    return layers


def known_words(fields: Fields) -> bool:
    lists = [value for name in ("layer_types", "layers_block_type") if isinstance(value := fields.get(name), list)]
    return all(isinstance(word, str) and word in _WORDS for words in lists for word in words)


def window(fields: Fields) -> int | None:
    """Tokens that windowed layers see; None where nothing is said, or the window is switched off."""
    if fields.get("use_sliding_window") is False:
        return None
    names = ("attention_chunk_size", "sliding_window", "sliding_window_size", "attention_window_size", "window_size")
    return fields.count(*names) or None


def plain_window(fields: Fields) -> int | None:
    """A window that holds for all layers. Qwen writes one that is off, others one as long as the context."""
    size, positions = window(fields), fields.count("max_position_embeddings")
    off = fields.get("use_sliding_window") is None and str(fields.get("model_type")).startswith("qwen")
    return None if off or (positions and size and size >= positions) else size


def every(layers: int, period: int, others: Kind, offset: int = -1) -> list[Kind]:
    """Full attention in every ``period``-th layer, by default the last of each period."""
    return ["full" if i % period == offset % period else others for i in range(layers)]


def _words(fields: Fields, layers: int) -> list[Kind] | None:
    for name in ("layer_types", "layers_block_type"):
        words = fields.listed(name, layers, extra=fields.count("num_nextn_predict_layers"))
        if words is None and fields.get(name):
            raise fields.senseless(name)
        if words:
            return [_WORDS.get(_word(fields, name, word), "full") for word in words]
    for name in ("mixer_types", "block_types"):  # repeated to the end
        words = fields.get(name)
        if isinstance(words, list) and words:
            return [_WORDS.get(_word(fields, name, words[i % len(words)]), "full") for i in range(layers)]
    return None


def _word(fields: Fields, name: str, word: Any) -> str:
    if not isinstance(word, str):
        raise fields.senseless(name)
    return word


def _letters(fields: Fields, layers: int) -> list[Kind] | None:
    letters = fields.listed("hybrid_override_pattern", layers)
    if letters is None:
        return None
    if not set(letters) <= set(_LETTERS):
        raise fields.senseless("hybrid_override_pattern")
    return [_LETTERS[letter] for letter in letters]


def _flags(fields: Fields, layers: int) -> list[Kind] | None:
    """Lists of zeros and ones: MiMo (1: window), MiniMax-Text (1: full), Bailing (1: linear), Llama 4 (1: chunk)."""
    tables: tuple[tuple[str, Kind, Kind], ...] = (
        ("hybrid_layer_pattern", "full", "window"),
        ("attn_type_list", "state", "full"),
        ("layer_group_size", "full", "state"),
    )
    if fields.get("attention_chunk_size"):
        tables += (("no_rope_layers", "full", "window"),)
    for name, zero, one in tables:
        flags = fields.listed(name, layers)
        if flags:
            return [one if flag else zero for flag in flags]
    return None


def _intervals(fields: Fields, layers: int) -> list[Kind] | None:
    if fields.get("linear_num_value_heads"):
        return every(layers, fields.number("full_attention_interval", default=4), "state")
    if fields.get("layer_group_size"):
        return every(layers, fields.number("layer_group_size"), "state")
    if fields.get("attn_layer_period"):
        return every(layers, fields.number("attn_layer_period"), "state", fields.count("attn_layer_offset"))
    if fields.get("attention_chunk_size"):
        return every(layers, fields.number("no_rope_layer_interval", default=4), "window")
    if fields.get("model_type") == "granitemoehybrid":
        return every(layers, 6, "state")
    return None


def _indices(fields: Fields, layers: int) -> list[Kind] | None:
    """Lists of the layers of one kind. Kimi Linear counts from one, GLM from zero."""
    linear = fields.section("linear_attn_config").get("kda_layers")
    if linear is not None:
        first = 0 if str(fields.get("model_type")).startswith("glm5_next") else 1
        return _marked(fields, "kda_layers", linear, layers, ("state", "full"), first)
    tables: tuple[tuple[str, Kind, Kind], ...] = (
        ("attn_layer_indices", "full", "state"), ("full_attn_idxs", "full", "state"),
        ("local_layer_ids", "window", "full"),
    )  # fmt: skip
    for name, member, other in tables:
        listed = fields.get(name)
        if listed is not None:
            return _marked(fields, name, listed, layers, (member, other))
    return None


def _marked(fields: Fields, name: str, ids: Any, layers: int, pair: tuple[Kind, Kind], first: int = 0) -> list[Kind]:
    valid = isinstance(ids, list) and all(type(i) is int and 0 <= i - first < layers for i in ids)
    if not valid:
        raise broken(fields.where, f"names layers in {name!r} that it does not have")
    return [pair[0] if i + first in ids else pair[1] for i in range(layers)]


def _pure(fields: Fields, layers: int) -> list[Kind] | None:
    """Falcon-H1 has attention and Mamba side by side in every layer; pure Mamba has no attention at all."""
    kind = fields.get("model_type")
    if kind == "falcon_h1":
        return ["both"] * layers
    if kind in ("mamba", "mamba2", "falcon_mamba") or fields.get("ssm_cfg") is not None:
        return ["state"] * layers
    return None


def _windows(fields: Fields, layers: int) -> list[Kind] | None:
    kind = str(fields.get("model_type"))
    if window(fields) is None:
        return None
    names = ("sliding_window_pattern", "global_attn_every_n_layers")
    pattern = fields.get(*names)
    if isinstance(pattern, str) and pattern and set(pattern) <= set("LG"):
        return ["window" if pattern[i % len(pattern)] == "L" else "full" for i in range(layers)]
    if pattern is not None or kind in _PERIODS:
        found = every(layers, fields.number(*names, default=_PERIODS.get(kind)), "window")
        return [*found[:-1], "full"] if kind.startswith(("gemma4", "embedding_gemma2")) else found
    if kind in _FIRST_FULL:
        return every(layers, _FIRST_FULL[kind], "window", 0)
    if fields.get("use_sliding_window") and fields.get("max_window_layers") is not None:
        start = fields.count("max_window_layers")
        return ["window" if i >= start else "full" for i in range(layers)]
    return None
