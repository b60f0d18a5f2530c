"""Matrices of the layers that look back: attention in its kinds, Mamba and linear attention."""

from __future__ import annotations

from collections.abc import Iterator

from llmserve.models.architecture.shape import Architecture
from llmserve.models.layers import AttentionLayers, CacheLayers, CompressedLayers, LatentLayers, StateLayers
from llmserve.models.parameters.modules import Config, Module
from llmserve.models.tensors import Role

_ATTENTION = "model.layers.{}.self_attn."
_BIASED = ("qwen2*", "qwen", "chatglm", "gpt_oss", "gpt2", "opt", "gpt_neox", "starcoder2", "phi", "bert", "roberta",
           "xlm-roberta", "whisper", "gpt_bigcode", "bloom", "codeshell", "internlm")  # fmt: skip
_BIASED_OUTPUT = ("gpt_oss", "gpt2", "opt", "gpt_neox", "starcoder2", "phi", "bert", "roberta", "xlm-roberta",
                  "whisper", "gpt_bigcode", "bloom")  # fmt: skip


def mixers(config: Config, shape: Architecture) -> Iterator[Module]:
    """All attention and state-space matrices of the main model."""
    for group in layer_groups(shape):
        yield from of_group(config, shape, group)


def layer_groups(shape: Architecture) -> tuple[CacheLayers, ...]:
    """What keeps what; plain attention in every layer where the description of the architecture says nothing."""
    return shape.cache or (
        AttentionLayers(layers=shape.layers, kv_heads=shape.kv_heads, key_dim=shape.head_dim, value_dim=shape.head_dim),
    )


def of_group(config: Config, shape: Architecture, group: CacheLayers) -> Iterator[Module]:
    if isinstance(group, AttentionLayers):
        return _attention(config, shape, group)
    if isinstance(group, LatentLayers):
        return _latent(config, shape, group)
    if isinstance(group, CompressedLayers):
        return _compressed(config, shape, group)
    return _STATE.get(group.kind, _mamba2)(config, shape, group)


def _attention(config: Config, shape: Architecture, group: AttentionLayers) -> Iterator[Module]:
    heads = config.number("swa_num_attention_heads", default=shape.heads) if group.window else shape.heads
    gated = 2 if config.flag("attn_output_gate", config.is_like("qwen3_next", "qwen3_5*")) else 1
    biased = config.flag("attention_bias", config.is_like(*_BIASED)) or config.flag("qkv_bias")
    queries, keys, values = (
        gated * heads * group.key_dim,
        group.kv_heads * group.key_dim,
        group.kv_heads * group.value_dim,
    )
    shared = group.shares if config.is_like("gemma4*") else 0
    shares_key = config.flag("attention_k_eq_v") and group.window is None  # Gemma 4: values are keys in global layers
    hidden, layers = shape.hidden_size, group.layers

    def linear(role: Role, name: str, outputs: int, inputs: int, layers: int, bias: bool) -> Module:
        return Module(
            role=role, name=_ATTENTION + name, outputs=outputs, inputs=inputs, layers=layers,
            bias=outputs if bias else 0,
        )  # fmt: skip

    yield linear("query", "q_proj", queries, hidden, layers, biased)
    yield linear("key_value", "k_proj", keys, hidden, layers - shared, biased and not config.is_like("whisper"))
    if not shares_key:
        yield linear("key_value", "v_proj", values, hidden, layers - shared, biased)
    biased_output = config.is_like(*_BIASED_OUTPUT) or (biased and not config.is_like(*_BIASED, "glm4*", "chatglm"))
    yield linear("output", "o_proj", hidden, heads * group.value_dim, layers, biased_output)
    if config.is_like("qwen3*", "gemma3*", "gemma4*", "glm4_moe", "olmo2", "hunyuan*"):
        yield Module(role="norm", name=_ATTENTION + "q_norm", outputs=group.key_dim, layers=2 * layers - shared)
    if config.is_like("gpt_oss"):
        yield Module(role="other", name=_ATTENTION + "sinks", outputs=heads, layers=layers)


def _latent(config: Config, shape: Architecture, group: LatentLayers) -> Iterator[Module]:
    hidden, layers, heads = shape.hidden_size, group.layers, shape.heads
    nope, value = config.number("qk_nope_head_dim", default=128), config.number("v_head_dim", default=128)
    rank, queries = config.number("q_lora_rank"), heads * (nope + group.rope_dim)
    norms = group.latent_dim + rank
    if rank:
        yield _mla("latent", "q_a_proj", rank, hidden, layers)
        yield _mla("query", "q_b_proj", queries, rank, layers)
    else:
        yield _mla("query", "q_proj", queries, hidden, layers)
    yield _mla("latent", "kv_a_proj_with_mqa", group.latent_dim + group.rope_dim, hidden, layers)
    yield _mla("key_value", "kv_b_proj", heads * (nope + value), group.latent_dim, layers)
    yield _mla("output", "o_proj", hidden, heads * value, layers)
    yield Module(role="norm", name=_ATTENTION + "kv_a_layernorm", outputs=norms, layers=layers)
    if group.index_layers:
        yield from _indexer(config, hidden, rank, group.index_dim, group.index_layers)


def _indexer(config: Config, hidden: int, rank: int, width: int, layers: int) -> Iterator[Module]:
    """DeepSeek sparse attention: ``layers/attention/dsa/dsa_indexer.py``; keys and head weights stay 16 bit."""
    heads = config.number("index_n_heads", default=64)
    yield _mla("indexer", "indexer.wq_b", heads * width, rank or hidden, layers)
    yield _mla("indexer", "indexer.wk", width, hidden, layers)
    yield _plain("indexer", "indexer.weights_proj", heads, hidden, layers)
    yield Module(role="norm", name=_ATTENTION + "indexer.k_norm", outputs=2 * width, layers=layers)


def _compressed(config: Config, shape: Architecture, group: CompressedLayers) -> Iterator[Module]:
    """DeepSeek V4 as ``models/deepseek_v4.py`` builds it; sizes that a configuration omits are those of its class."""
    hidden, heads = shape.hidden_size, shape.heads
    layers = min(group.layers, shape.layers)
    rank, groups = config.number("q_lora_rank", default=1024), config.number("o_groups", default=8)
    low = config.number("o_lora_rank", default=1024)
    yield _mla("latent", "wq_a", rank, hidden, layers)
    yield _mla("latent", "wkv", group.head_dim, hidden, layers)
    yield _mla("query", "wq_b", heads * group.head_dim, rank, layers)
    yield _mla("output", "wo_a", groups * low, heads * group.head_dim // groups, layers)
    yield _mla("output", "wo_b", hidden, groups * low, layers)
    yield Module(role="norm", name=_ATTENTION + "q_norm", outputs=rank + group.head_dim, layers=layers)
    ratios = group.ratios[:layers]
    sparse, narrow = sum(ratio == 4 for ratio in ratios), sum(ratio > 4 for ratio in ratios)
    yield _plain("indexer", "compressor", 4 * group.head_dim, hidden, sparse)
    yield _plain("indexer", "compressor", 2 * group.head_dim, hidden, narrow)
    yield _mla("indexer", "indexer.wq_b", config.number("index_n_heads", default=64) * group.index_dim, rank, sparse)
    yield _plain("indexer", "indexer.compressor", 4 * group.index_dim, hidden, sparse)
    streams = config.number("hc_mult", default=4)
    mixing = (2 + streams) * streams * (streams * hidden + 1)
    yield Module(role="other", name="hc", outputs=2 * mixing, layers=layers, plain=True, dtype="F32")


def _gdn(config: Config, shape: Architecture, group: StateLayers) -> Iterator[Module]:
    """Gated delta net: ``models/qwen3_next.py``, ``models/qwen3_5.py``."""
    heads = config.number("linear_num_value_heads", default=group.heads)
    values = heads * config.number("linear_value_head_dim", default=group.head_dim or 128)
    keys = config.number("linear_num_key_heads", default=16) * config.number("linear_key_head_dim", default=128)
    kernel = config.number("linear_conv_kernel_dim", default=4)
    prefix, hidden, layers = "model.layers.{}.linear_attn.", shape.hidden_size, group.layers
    width = config.number("linear_value_head_dim", default=128)
    yield Module(role="linear", name=prefix + "in_proj_qkvz", outputs=2 * (keys + values), inputs=hidden, layers=layers)
    yield Module(role="linear", name=prefix + "in_proj_ba", outputs=2 * heads, inputs=hidden, layers=layers, plain=True)
    yield Module(
        role="linear", name=prefix + "conv1d", outputs=2 * keys + values, inputs=kernel, layers=layers, plain=True
    )
    yield Module(role="linear", name=prefix + "A_log", outputs=2 * heads, layers=layers, plain=True)
    yield Module(role="norm", name=prefix + "norm", outputs=width, layers=layers, plain=True)
    yield Module(role="linear", name=prefix + "out_proj", outputs=hidden, inputs=values, layers=layers)


def _mamba2(config: Config, shape: Architecture, group: StateLayers) -> Iterator[Module]:
    """``layers/attention/mamba/mamba.py``: one input projection for gate, input, B, C and time steps."""
    prefix, hidden, layers = "model.layers.{}.mixer.", shape.hidden_size, group.layers
    states = 2 * group.groups * group.state_dim
    inputs, bias = (
        2 * group.inner + states + group.heads,
        config.flag("use_conv_bias", config.flag("mamba_conv_bias", True)),
    )
    channels = group.inner + states
    yield Module(role="linear", name=prefix + "in_proj", outputs=inputs, inputs=hidden, layers=layers)
    yield Module(
        role="linear", name=prefix + "conv1d", outputs=channels, inputs=group.kernel, layers=layers, plain=True,
        bias=channels if bias else 0,
    )  # fmt: skip
    yield Module(role="linear", name=prefix + "A_log", outputs=3 * group.heads, layers=layers, plain=True)
    yield Module(role="norm", name=prefix + "norm", outputs=group.inner, layers=layers, plain=True)
    yield Module(role="linear", name=prefix + "out_proj", outputs=hidden, inputs=group.inner, layers=layers)


def _mamba1(config: Config, shape: Architecture, group: StateLayers) -> Iterator[Module]:
    prefix, hidden, layers = "model.layers.{}.mixer.", shape.hidden_size, group.layers
    steps = config.number("time_step_rank", "mamba_dt_rank", default=-(-hidden // 16))
    for name, outputs, inputs in (
        ("in_proj", 2 * group.inner, hidden), ("x_proj", steps + 2 * group.state_dim, group.inner),
        ("dt_proj", group.inner, steps + 1), ("out_proj", hidden, group.inner),
    ):  # fmt: skip
        yield Module(role="linear", name=prefix + name, outputs=outputs, inputs=inputs, layers=layers)
    per_channel = group.kernel + 1 + group.state_dim + 1
    yield Module(
        role="linear", name=prefix + "conv1d", outputs=group.inner, inputs=per_channel, layers=layers, plain=True
    )


def _kda(_: Config, shape: Architecture, group: StateLayers) -> Iterator[Module]:
    """Kimi delta attention: ``models/kimi_linear.py``; decay and gate go through a bottleneck of one head."""
    hidden, layers, width = shape.hidden_size, group.layers, group.heads * group.head_dim
    for name in ("q_proj", "k_proj", "v_proj"):
        yield Module(role="linear", name=_ATTENTION + name, outputs=width, inputs=hidden, layers=layers)
    for name in ("f_a_proj", "g_a_proj"):
        yield _plain("linear", name, group.head_dim, hidden, layers)
    for name in ("f_b_proj", "g_b_proj"):
        yield _plain("linear", name, width, group.head_dim, layers)
    yield _plain("linear", "b_proj", group.heads, hidden, layers)
    yield _plain("linear", "q_conv1d", 3 * width, group.kernel, layers)
    yield Module(role="linear", name=_ATTENTION + "o_proj", outputs=hidden, inputs=width, layers=layers)


def _lightning(_: Config, shape: Architecture, group: StateLayers) -> Iterator[Module]:
    """MiniMax-01, Ling: queries, keys, values and a gate of the width of all heads."""
    hidden, layers, width = shape.hidden_size, group.layers, group.heads * group.head_dim
    yield Module(role="linear", name=_ATTENTION + "qkv_proj", outputs=4 * width, inputs=hidden, layers=layers)
    yield Module(role="linear", name=_ATTENTION + "out_proj", outputs=hidden, inputs=width, layers=layers)


def _short_convolution(_: Config, shape: Architecture, group: StateLayers) -> Iterator[Module]:
    """LFM2: ``models/lfm2.py``."""
    prefix, hidden, layers = "model.layers.{}.conv.", shape.hidden_size, group.layers
    yield Module(role="linear", name=prefix + "in_proj", outputs=3 * hidden, inputs=hidden, layers=layers)
    yield Module(role="linear", name=prefix + "conv", outputs=hidden, inputs=group.kernel, layers=layers, plain=True)
    yield Module(role="linear", name=prefix + "out_proj", outputs=hidden, inputs=hidden, layers=layers)


_STATE = {
    "gdn": _gdn, "mamba2": _mamba2, "mamba1": _mamba1, "kda": _kda, "lightning": _lightning, "conv": _short_convolution,
}  # fmt: skip


def _mla(role: Role, name: str, outputs: int, inputs: int, layers: int) -> Module:
    return Module(role=role, name=_ATTENTION + name, outputs=outputs, inputs=inputs, layers=layers)


def _plain(role: Role, name: str, outputs: int, inputs: int, layers: int) -> Module:
    return Module(
        role=role,
        name=_ATTENTION + name,
        outputs=outputs,
        inputs=inputs,
        layers=layers,
        plain=True,
    )
